//! Where a container's log stands, kept across the daemon's death.
//!
//! A small file beside the daemon's state says: up to this place of this source, everything is in that log file up to
//! that size. It is replaced by rename, so it is always whole. What was written after it is found again by
//! [`Checkpoint::surplus`].
//!
//! Failure paths: the log was renamed while nobody was there: it is found by its inode beside the new one. It is gone or
//! shorter than it was: what was written since the checkpoint can't be known, so the source is read again from the
//! cursor, and the log says that lines may come twice.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use guests::log::Cursor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::surplus::payload;

/// The most files of a log directory that are looked at.
const MAX_SIBLINGS: usize = 10_000;

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// So many bytes of the console's file.
    Console(u64),
    /// Right after this record of the guest's log; `None`: at its beginning.
    Guest(Option<Cursor>),
}

/// What the sidecar file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Up to here the source is written down.
    pub position: Position,
    /// The payload in the log files up to that size and beyond that position, in bytes.
    #[serde(default)]
    pub ahead: u64,
    /// How far the console was read before the guest's log took over, in bytes.
    pub console: u64,
    /// The log file's inode.
    pub inode: u64,
    /// The log file's size in bytes at that position.
    pub size: u64,
}

impl Checkpoint {
    /// The payload that the log files hold beyond this checkpoint, in bytes; `None` when it can't be known.
    pub fn surplus(&self, log: &Path) -> Option<u64> {
        // The file that replaced it, if any, was begun after a checkpoint of its own; so it holds nothing of the guest.
        let file = find(log, self.inode, self.size)?;
        payload(&file, self.size).ok().map(|[guest, _ours]| self.ahead + guest)
    }
}

/// Reads a checkpoint's file. Absent, or nothing that we wrote: `None`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "log checkpoint is unreadable"),
            )
            .ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Replaces a checkpoint's file.
pub fn store(path: &Path, checkpoint: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(checkpoint).map_err(|error| Error::file("write", path)(error.into()))?;
    let mut fresh = PathBuf::from(path);
    fresh.as_mut_os_string().push(".new");
    fs::write(&fresh, bytes).map_err(Error::file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(Error::file("replace", path))
}

/// The log file of that inode with at least that size: at its path, or beside it after a rename.
pub(super) fn find(log: &Path, inode: u64, size: u64) -> Option<PathBuf> {
    let is_it = |path: &Path| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.ino() == inode && meta.len() >= size)
    };
    if is_it(log) {
        return Some(log.to_owned());
    }
    let siblings = fs::read_dir(log.parent()?).ok()?;
    siblings.flatten().take(MAX_SIBLINGS).map(|entry| entry.path()).find(|path| is_it(path))
}

#[cfg(test)]
mod tests {
    use super::super::file::LogFile;
    use super::super::format::{Voice, line};
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn finds_the_log_after_a_rename() {
        let folder = tempfile::tempdir().unwrap();
        let (log_path, path) = (folder.path().join("0.log"), folder.path().join("checkpoint"));
        let mut log = LogFile::open(&log_path).unwrap();
        log.write(&line(SystemTime::now(), Voice::Guest, false, b"first")).unwrap();
        let position = Position::Guest(Some(Cursor("j1:1:s=1".into())));
        let kept =
            Checkpoint { position, ahead: 0, console: 7, inode: log.inode().unwrap(), size: log.size() };
        store(&path, &kept).unwrap();
        assert_eq!(load(&path).unwrap(), Some(kept.clone()));
        assert_eq!(kept.surplus(&log_path), Some(0));
        log.write(&line(SystemTime::now(), Voice::Guest, false, b"second")).unwrap();
        fs::rename(&log_path, folder.path().join("0.log.20260101")).unwrap();
        assert_eq!(kept.surplus(&log_path), Some(7));
        fs::remove_file(folder.path().join("0.log.20260101")).unwrap();
        LogFile::open(&log_path).unwrap();
        assert_eq!(kept.surplus(&log_path), None);
        fs::write(&path, b"{").unwrap();
        assert_eq!(load::<Checkpoint>(&path).unwrap(), None);
    }
}
