//! Who wants to know that the kubelet has changed a volume: one inotify instance for all of them.
//!
//! ```text
//!   ..data renamed in a directory --inotify--> the task --Changed::mark--> whoever keeps that volume
//! ```
//!
//! - Happy path: a directory is watched as long as its [`Watch`] lives.
//! - More happens than the kernel keeps: every volume counts as changed. The directory goes away: nothing is told any more.
//! - There is no inotify instance, or no room for a watch: an error that names the limit.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use guests::volume::Name;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::ready::ready;

/// What the kubelet renames when a volume has changed.
const DATA: &[u8] = b"..data";
/// Bytes of events that are read at once.
const EVENTS_BYTES: usize = 16 * 1024;

/// The volumes of somebody that have changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    names: Mutex<BTreeSet<Name>>,
    told: Notify,
}

impl Changed {
    /// Notes that a volume has changed.
    pub(super) fn mark(&self, name: Name) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        self.told.notify_one();
    }

    /// Waits for a change. Cancellation loses nothing.
    pub(super) async fn some(&self) {
        self.told.notified().await;
    }

    /// What has changed since the last call.
    pub(super) fn take(&self) -> BTreeSet<Name> {
        std::mem::take(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Watches the directories of volumes.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    inotify: AsyncFd<OwnedFd>,
    watched: Mutex<HashMap<i32, (Weak<Changed>, Name)>>,
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, HashMap<i32, (Weak<Changed>, Name)>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Begins.
    pub fn open() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| {
            io::Error::other(format!(
                "no inotify instance is to be had ({error}); raise the sysctl fs.inotify.max_user_instances"
            ))
        })?;
        let shared = Arc::new(Shared { inotify: ready(inotify)?, watched: Mutex::default() });
        let task = AbortOnDropHandle::new(tokio::spawn(tell(shared.clone())));
        Ok(Self { shared, _task: task })
    }

    /// Has `changed` told when the volume in this directory changes.
    pub(super) fn watch(&self, directory: &Path, changed: &Arc<Changed>, name: Name) -> io::Result<Watch> {
        // Held until it is noted, so that no event is read before.
        let mut watched = self.shared.watched();
        let flags = WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let number =
            inotify::add_watch(self.shared.inotify.get_ref(), directory, flags).map_err(|error| {
                let remedy =
                    if error == Errno::NOSPC { "; raise the sysctl fs.inotify.max_user_watches" } else { "" };
                io::Error::new(
                    io::Error::from(error).kind(),
                    format!("it cannot be watched ({error}){remedy}"),
                )
            })?;
        watched.insert(number, (Arc::downgrade(changed), name));
        Ok(Watch { shared: Arc::downgrade(&self.shared), number })
    }
}

/// A directory that is watched as long as this lives.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Weak<Shared>,
    number: i32,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade()
            && shared.watched().remove(&self.number).is_some()
        {
            // The kernel has removed the watch of a directory that is gone.
            let _ = inotify::remove_watch(shared.inotify.get_ref(), self.number);
        }
    }
}

async fn tell(shared: Arc<Shared>) {
    loop {
        let Ok(mut ready) = shared.inotify.readable().await else { return };
        let mut bytes = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut events = Reader::new(shared.inotify.get_ref(), &mut bytes);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    if error != Errno::WOULDBLOCK {
                        tracing::warn!(%error, "what the kubelet changes in volumes cannot be read");
                    }
                    break;
                }
            };
            let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let renamed = event.file_name().is_some_and(|name| name.to_bytes() == DATA);
            let mut watched = shared.watched();
            if event.events().contains(ReadFlags::IGNORED) {
                watched.remove(&event.wd());
            }
            for (_, (changed, name)) in
                watched.iter().filter(|(number, _)| lost || renamed && **number == event.wd())
            {
                if let Some(changed) = changed.upgrade() {
                    changed.mark(name.clone());
                }
            }
        }
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn swap(volume: &Path) {
        symlink("somewhere", volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn a_swap_is_told_to_who_keeps_that_volume() {
        let watcher = Watcher::open().unwrap();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let changed = Arc::new(Changed::default());
        let watch =
            |folder: &Path, name: &str| watcher.watch(folder, &changed, Name::new(name).unwrap()).unwrap();
        let first = watch(folders[0].path(), "first");
        let _second = watch(folders[1].path(), "second");
        for (folder, name) in folders.iter().zip(["first", "second"]) {
            fs::write(folder.path().join("other"), "").unwrap();
            swap(folder.path());
            timeout(PATIENCE, changed.some()).await.unwrap();
            assert_eq!(changed.take(), BTreeSet::from([Name::new(name).unwrap()]));
        }
        drop(first);
        swap(folders[0].path());
        swap(folders[1].path());
        timeout(PATIENCE, changed.some()).await.unwrap();
        assert_eq!(
            changed.take(),
            BTreeSet::from([Name::new("second").unwrap()]),
            "the first is watched no more"
        );
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_watched() {
        let watcher = Watcher::open().unwrap();
        let changed = Arc::new(Changed::default());
        let error = watcher.watch(Path::new("/no/such"), &changed, Name::new("x").unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
