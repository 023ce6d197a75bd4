//! Volumes that the daemon makes in a guest: Secrets, `ConfigMaps`, the downward API, projected ones, empty directories.
//!
//! ```text
//!   mount of a container --its path on the node (kind)--> Source --read--> Tree --put, mount--> its path in the guest
//!                                          changed by the kubelet (watch) --keeper: read, put--^
//! ```
//!
//! The kubelet lays such a volume out in a directory of its own on the node, and names that directory when it makes a
//! container. Before the container's process is started, or its machine is told to have answered, the files are in the guest.
//!
//! - Happy path: [`Volumes::give`] puts what is not there yet, and mounts it, the outer ones first: a command for each, a short one
//!   where the files are there already.
//! - A path of the node that is none of these volumes waits for storage: [`policy`] refuses the container that mounts it.
//! - What the kubelet changes later follows it: see [`Keeper`].
//! - The files cannot be read on the node, or the guest cannot hold them: the container does not start, and the reason names
//!   the path. What the kubelet gives to every pod by itself (`/etc/hosts`, the token of the service account) is only
//!   missing then, with a warning.

mod keeper;
mod kind;
pub mod policy;
mod read;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guests::volume::{self as guest, Name};
use transports::Session;

use crate::store::ContainerRecord;
use keeper::{Followed, Kept};
use kind::Source;

pub use keeper::Keeper;
pub use watch::Watcher;

/// A volume that a container wants mounted.
#[derive(Debug)]
struct Wanted {
    /// Names the mount in the guest.
    mount: Name,
    /// Names the volume in the guest, the same for each container of the pod.
    volume: Name,
    source: Source,
    /// Where it is mounted.
    path: String,
    read_only: bool,
    /// Whether the container cannot be without it.
    needed: bool,
}

/// The volumes that a container wants.
#[derive(Debug, Default)]
pub struct Volumes {
    wanted: Vec<Wanted>,
    /// Who keeps those of its guest.
    kept: Option<Arc<Kept>>,
}

impl Volumes {
    /// Those of a container, which a kubelet has made whose directory this is. The volume `login` is the daemon's alone.
    pub fn of(
        record: &ContainerRecord,
        kubelet: &Path,
        login: Option<&str>,
        keeper: &Keeper,
    ) -> guests::Result<Self> {
        let mut wanted = Vec::new();
        for (number, mount) in record.mounts.iter().enumerate() {
            let Some(source) = Source::of(Path::new(&mount.host_path), kubelet) else { continue };
            if login.is_some_and(|login| source.is_of_secret(login)) {
                continue;
            }
            let is_hosts = matches!(source, Source::Hosts { .. });
            wanted.push(Wanted {
                mount: Name::new(format!("{}-{number}", record.id))?,
                volume: Name::new(source.volume(&record.name))?,
                needed: source.is_asked_for(),
                source,
                path: mount.container_path.clone(),
                // A guest's own services would write to it.
                read_only: mount.readonly || is_hosts,
            });
        }
        // An outer one would hide an inner one that is there before.
        wanted.sort_by_key(|wanted| depth(&wanted.path));
        Ok(Self { wanted, kept: Some(keeper.kept()) })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Those that the container cannot be without, and the others.
    pub fn by_need(self) -> (Self, Self) {
        let (needed, others) = self.wanted.into_iter().partition(|volume| volume.needed);
        (Self { wanted: needed, kept: self.kept.clone() }, Self { wanted: others, kept: self.kept })
    }

    /// Has the guest hold them, where they are wanted.
    pub async fn give(&self, session: &dyn Session) -> guests::Result<()> {
        self.give_unless(session, |error| !error.retryable()).await
    }

    /// The same; what the container can be without is not worth another try.
    pub async fn give_needed(&self, session: &dyn Session) -> guests::Result<()> {
        self.give_unless(session, |error| !matches!(error, guests::Error::Session(_))).await
    }

    /// Has the guest hold them, but for what the container can be without, where that fails in this way.
    async fn give_unless(
        &self,
        session: &dyn Session,
        fails: impl Fn(&guests::Error) -> bool,
    ) -> guests::Result<()> {
        let Some(kept) = self.kept.as_ref().filter(|_| !self.is_empty()) else { return Ok(()) };
        let mut followed = kept.volumes.lock().await;
        for wanted in &self.wanted {
            match give(session, wanted, kept, &mut followed).await {
                Err(error) if !wanted.needed && fails(&error) => {
                    tracing::warn!(path = wanted.path, %error, "a volume is not in the guest");
                }
                given => given?,
            }
        }
        Ok(())
    }

    /// Has those that were given by an earlier run of this program kept in step again.
    pub async fn adopt(&self) {
        for wanted in &self.wanted {
            if let (Source::Volume { path, .. }, Some(kept)) = (&wanted.source, &self.kept) {
                kept.adopt(&wanted.volume, path).await;
            }
        }
    }

    /// Takes them away from where they are mounted.
    pub async fn take(&self, session: &dyn Session) -> guests::Result<()> {
        let Some(kept) = self.kept.as_ref().filter(|_| !self.is_empty()) else { return Ok(()) };
        let _turn = kept.volumes.lock().await;
        for wanted in self.wanted.iter().rev() {
            match guest::unmount(session, kept.family, &wanted.mount).await {
                // One that could not be given is not there.
                Err(error) if !wanted.needed && !error.retryable() => {}
                taken => taken?,
            }
        }
        Ok(())
    }
}

/// How deep a path of either family lies.
fn depth(path: &str) -> usize {
    path.split(['/', '\\']).filter(|part| !part.is_empty()).count()
}

async fn give(
    session: &dyn Session,
    wanted: &Wanted,
    kept: &Kept,
    followed: &mut BTreeMap<Name, Followed>,
) -> guests::Result<()> {
    let Wanted { mount, volume, source, path, read_only, needed: _ } = wanted;
    let mut mount = guest::Mount { name: mount, part: None, path, read_only: *read_only };
    match source {
        Source::Volume { path, .. } => {
            // Watched first: what changes from here on is noticed.
            kept.follow(followed, volume, path)?;
            kept.put(followed, volume, session, Some(&mount)).await
        }
        Source::Empty { path, .. } => {
            let (medium, about) = read::empty(path).map_err(|error| failed(path, &error))?;
            let owner = (about.uid(), about.gid());
            guest::empty(session, kept.family, volume, medium, about.mode(), owner, Some(&mount)).await
        }
        Source::Part { .. } | Source::Hosts { .. } => {
            let from = source.clone();
            let read = tokio::task::spawn_blocking(move || match &from {
                Source::Part { path, pod, name, .. } => read::part(path, pod, name),
                other => read::single(other.path()).map(Some),
            });
            let read = read.await;
            let read = read.map_err(|error| failed(source.path(), &error))?;
            let Some((tree, part)) = read.map_err(|error| failed(source.path(), &error))? else {
                return Ok(());
            };
            mount.part = Some(part);
            guest::put(session, kept.family, volume, &tree, None, Some(&mount)).await
        }
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> guests::Error {
    guests::Error::Unsupported(format!("the volume {} of the node cannot be read: {error}", path.display()))
}

/// The files of a volume that a kubelet keeps on the node.
pub fn files(path: &Path) -> std::io::Result<guest::Tree> {
    read::volume(path)
}

/// Where the kubelet keeps its pods, unless the configuration says otherwise.
pub fn default_kubelet() -> PathBuf {
    "/var/lib/kubelet".into()
}
