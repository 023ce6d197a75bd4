//! Reading the serial console's file as it grows.
//!
//! Happy path: what is there is read, then inotify tells of more. The file may not exist yet: its directory is watched.
//! Its oldest part may have been released (a hole): that is passed over without being read.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{SeekFrom, seek};
use tokio::io::unix::AsyncFd;

use crate::ready::ready;

/// What is read at once, in bytes.
const PIECE: usize = 32 * 1024;
/// How often it is looked at where there are no events.
const WITHOUT_EVENTS: Duration = Duration::from_secs(1);

/// A piece of the console.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes, from the place asked for.
    Bytes(Vec<u8>),
    /// So many bytes were released.
    Released(u64),
    /// Nothing more is there now.
    End,
}

fn watch(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let parent = path.parent().unwrap_or(path);
    inotify::add_watch(&events, parent, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    ready(events)
}

/// The console's file.
#[derive(Debug)]
pub(super) struct Console {
    path: PathBuf,
    file: Option<File>,
    /// None where the node has no inotify instance left: then it is looked at once in a while.
    events: Option<AsyncFd<OwnedFd>>,
}

impl Console {
    /// Watches the file, or for it.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let events = watch(&path)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "looked at without inotify"))
            .ok();
        Ok(Self { path, file: None, events })
    }

    /// What is there from `offset` on.
    pub(super) fn read(&mut self, offset: u64) -> io::Result<Piece> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Piece::End),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(Piece::End) };
        // Not every file system tells of holes; without an answer they are read as NUL bytes, which come to nothing.
        if let Ok(data) = seek(file, SeekFrom::Data(offset))
            && data > offset
        {
            return Ok(Piece::Released(data - offset));
        }
        let mut bytes = vec![0; PIECE];
        let count = file.read_at(&mut bytes, offset)?;
        bytes.truncate(count);
        Ok(if count == 0 { Piece::End } else { Piece::Bytes(bytes) })
    }

    /// Returns when there may be more. Safe to cancel.
    pub(super) async fn changed(&self) -> io::Result<()> {
        let Some(events) = &self.events else {
            tokio::time::sleep(WITHOUT_EVENTS).await;
            return Ok(());
        };
        let mut ready = events.readable().await?;
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(events.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
