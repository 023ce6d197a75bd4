//! What a volume costs its guest, counted on a real SSH server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use guests::Family;
use guests::volume::{Mount, Name};
use tokio::sync::watch;
use transports::{Command, Process, Result, Session, Ssh, Transport as _};

use super::Watcher;
use super::keeper::Keeper;
use crate::servers::Server;

/// The server's own `/run`, where volumes lie.
const FRESH: &str = "mount -t tmpfs run /run\nmkdir -p /run/sshd\nmount -t tmpfs srv /srv";

/// Counts the commands of a session.
#[derive(Debug)]
struct Counted {
    session: Box<dyn Session>,
    commands: AtomicUsize,
}

#[async_trait]
impl Session for Counted {
    async fn exec(&self, command: Command) -> Result<Process> {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.session.exec(command).await
    }

    async fn closed(&self) -> transports::Error {
        self.session.closed().await
    }
}

impl Counted {
    /// The commands since the last call.
    fn commands(&self) -> usize {
        self.commands.swap(0, Ordering::Relaxed)
    }
}

/// Makes `..data` lead to files with this content.
fn lay_out(volume: &Path, directory: &str, content: &str) {
    fs::create_dir_all(volume.join(directory)).unwrap();
    fs::write(volume.join(directory).join("key"), content).unwrap();
    symlink(directory, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_costs_a_command_and_an_unchanged_one_none() {
    let server = Server::openssh_in(FRESH, "");
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    let counted = Counted { session, commands: AtomicUsize::new(0) };
    let node = tempfile::tempdir().unwrap();
    let path = node.path().join("config");
    lay_out(&path, "..1", "one");
    let (name, mount) = (Name::new("config").unwrap(), Name::new("mount").unwrap());
    let mount = Mount { name: &mount, part: None, path: "/srv/app", read_only: true };

    // No session is offered to the keeper itself: the test takes its turns.
    let keeper = Keeper::new(Arc::new(Watcher::open().unwrap()), watch::channel(None).1, Family::Unix);
    let kept = keeper.kept();
    let mut volumes = kept.volumes.lock().await;
    kept.follow(&mut volumes, &name, &path).unwrap();
    kept.put(&mut volumes, &name, &counted, Some(&mount)).await.unwrap();
    assert_eq!(counted.commands(), 1, "it is put and mounted by one command");
    lay_out(&path, "..2", "one");
    kept.put(&mut volumes, &name, &counted, None).await.unwrap();
    assert_eq!(counted.commands(), 0, "what is the same costs nothing");
    lay_out(&path, "..3", "two");
    kept.put(&mut volumes, &name, &counted, None).await.unwrap();
    assert_eq!(counted.commands(), 1, "a change is one command");
    kept.put(&mut volumes, &name, &counted, Some(&mount)).await.unwrap();
    assert_eq!(counted.commands(), 1, "the same again, to be mounted, is one command");
    drop(volumes);

    // The next run of the daemon does not know what the guest has: it asks, and sends nothing.
    let keeper = Keeper::new(Arc::new(Watcher::open().unwrap()), watch::channel(None).1, Family::Unix);
    let kept = keeper.kept();
    kept.adopt(&name, &path).await;
    let mut volumes = kept.volumes.lock().await;
    for commands in [1, 0] {
        kept.put(&mut volumes, &name, &counted, None).await.unwrap();
        assert_eq!(counted.commands(), commands);
    }
}
