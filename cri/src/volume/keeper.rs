//! The volumes of one guest, kept in step with what the kubelet writes on the node.
//!
//! ```text
//!   given -> in step --the kubelet renames ..data--> changed --a session, read, put--> in step
//!                         the daemon has restarted: changed, until it was looked at
//! ```
//!
//! - Happy path: a change on the node is in the guest as soon as it was read and sent; only what differs travels.
//! - The guest does not answer: the change waits for the next session. A change that cannot be carried over is told in the
//!   log, and readers keep what they had; the next change is tried again.
//! - The volume is gone from the node: its pod is being removed, and nothing is done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::volume::{self as guest, Name, Tree};
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use transports::{Backoff, Session};

use super::watch::{Changed, Watch, Watcher};
use super::{failed, read};

/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Keeps the volumes of a guest as long as it lives.
#[derive(Debug)]
pub struct Keeper {
    kept: Arc<Kept>,
    _task: AbortOnDropHandle<()>,
}

/// The volumes of a guest that follow the node, by name. Locked by whoever changes anything of volumes in the guest.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) volumes: Mutex<BTreeMap<Name, Followed>>,
    changed: Arc<Changed>,
    watcher: Arc<Watcher>,
    pub(super) family: Family,
}

/// A volume that follows a directory of the node.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    /// What the guest was given last and is known to have taken.
    tree: Option<Tree>,
    /// Whether it was given something else since then, of which it is not known whether it took it.
    uncertain: bool,
    /// Whether an earlier run of this program has given it, so that the guest may have it as it is.
    adopted: bool,
    _watch: Watch,
}

impl Keeper {
    /// Begins with none, for a guest of this family with these sessions.
    pub fn new(
        watcher: Arc<Watcher>,
        sessions: watch::Receiver<Option<Arc<dyn Session>>>,
        family: Family,
    ) -> Self {
        let kept = Kept { volumes: Mutex::default(), changed: Arc::default(), watcher, family };
        let kept = Arc::new(kept);
        let task = AbortOnDropHandle::new(tokio::spawn(keep(kept.clone(), sessions)));
        Self { kept, _task: task }
    }

    pub(super) fn kept(&self) -> Arc<Kept> {
        self.kept.clone()
    }
}

impl Kept {
    /// Follows a directory from now on; whether it was followed already is no matter.
    pub(super) fn follow(
        &self,
        volumes: &mut BTreeMap<Name, Followed>,
        name: &Name,
        path: &PathBuf,
    ) -> guests::Result<()> {
        if volumes.get(name).is_some_and(|followed| followed.path == *path) {
            return Ok(());
        }
        let watch = self.watcher.watch(path, &self.changed, name.clone());
        let watch = watch.map_err(|error| failed(path, &error))?;
        volumes.insert(
            name.clone(),
            Followed { path: path.clone(), tree: None, uncertain: false, adopted: false, _watch: watch },
        );
        Ok(())
    }

    /// Follows a volume that was given before this program has started: it may have changed since.
    pub(super) async fn adopt(&self, name: &Name, path: &PathBuf) {
        let mut volumes = self.volumes.lock().await;
        match self.follow(&mut volumes, name, path) {
            Ok(()) => {
                if let Some(followed) = volumes.get_mut(name) {
                    followed.adopted = true;
                }
                self.changed.mark(name.clone());
            }
            Err(error) => tracing::info!(volume = %path.display(), %error, "it is not kept in step"),
        }
    }

    /// Has the guest hold what a followed directory holds now, where it is to be mounted. What is as the guest was given it, and
    /// is not to be mounted, costs the guest nothing.
    pub(super) async fn put(
        &self,
        volumes: &mut BTreeMap<Name, Followed>,
        name: &Name,
        session: &dyn Session,
        mount: Option<&guest::Mount<'_>>,
    ) -> guests::Result<()> {
        let Some(followed) = volumes.get_mut(name) else { return Ok(()) };
        let path = followed.path.clone();
        let read = tokio::task::spawn_blocking(move || read::volume(&path)).await;
        let read = read.map_err(|error| failed(&followed.path, &error))?;
        let tree = read.map_err(|error| failed(&followed.path, &error))?;
        if mount.is_none() && !followed.uncertain && followed.tree.as_ref() == Some(&tree) {
            return Ok(());
        }
        followed.uncertain = true;
        let base = followed.tree.as_ref().or(followed.adopted.then_some(&tree));
        guest::put(session, self.family, name, &tree, base, mount).await?;
        followed.tree = Some(tree);
        followed.uncertain = false;
        Ok(())
    }

    /// Carries over all that has changed. What cannot be carried over yet stays marked, and holds up nothing else.
    async fn catch_up(&self, session: &dyn Session) -> guests::Result<()> {
        let mut volumes = self.volumes.lock().await;
        let mut outcome = Ok(());
        for name in self.changed.take() {
            // Without a session all others would be in vain.
            if let Err(guests::Error::Session(_)) = outcome {
                self.changed.mark(name);
                continue;
            }
            match self.put(&mut volumes, &name, session, None).await {
                Ok(()) => {}
                Err(error) if error.retryable() => {
                    self.changed.mark(name);
                    outcome = Err(error);
                }
                Err(error) => {
                    tracing::warn!(?name, %error, "a volume has changed, and its guest keeps what it had");
                }
            }
        }
        outcome
    }
}

async fn keep(kept: Arc<Kept>, mut sessions: watch::Receiver<Option<Arc<dyn Session>>>) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        kept.changed.some().await;
        let Ok(session) = sessions.wait_for(Option::is_some).await.map(|session| session.clone()) else {
            return;
        };
        let Some(session) = session else { continue };
        // Boxed: nearly all keepers wait nearly always.
        match Box::pin(kept.catch_up(session.as_ref())).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(%error, "volumes are brought up to date later");
                sleep(backoff.next_wait()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transports::{Command, Error, Process, Result};

    /// A session that is lost.
    #[derive(Debug)]
    struct Lost;

    #[async_trait::async_trait]
    impl Session for Lost {
        async fn exec(&self, _: Command) -> Result<Process> {
            Err(self.closed().await)
        }

        async fn closed(&self) -> Error {
            Error::Lost("it is gone".into())
        }
    }

    #[tokio::test]
    async fn all_that_a_lost_session_did_not_carry_waits_for_the_next() {
        let node = tempfile::tempdir().unwrap();
        let watcher = Arc::new(Watcher::open().unwrap());
        let keeper = Keeper::new(watcher, watch::channel(None).1, Family::Unix);
        let names = ["one", "two"].map(|name| Name::new(name).unwrap());
        for (name, directory) in names.iter().zip(["one", "two"]) {
            let path = node.path().join(directory);
            std::fs::create_dir_all(path.join("..1")).unwrap();
            std::os::unix::fs::symlink("..1", path.join("..data")).unwrap();
            keeper.kept.adopt(name, &path).await;
        }
        keeper.kept.catch_up(&Lost).await.unwrap_err();
        assert!(keeper.kept.changed.take().iter().eq(&names));
    }
}
