//! Directories in which images are made before they are published, and what becomes of those nobody holds.
//!
//! A work directory has a locked file beside it for as long as its [`Work`] lives. Dropping it removes both; after a
//! kill the lock is free, and [`sweep`] removes them. Making one and sweeping both happen under the store's lock.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::layout::{Layout, directory};
use crate::lock::{self, Lock};
use crate::{Error, Result};

/// A directory of one pull or import.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: Lock,
}

impl Work {
    /// Makes an empty one. Blocks.
    pub(crate) fn create(layout: &Layout) -> Result<Self> {
        let _store = lock::exclusive(&layout.lock())?;
        let name = format!("{:032x}", rand::random::<u128>());
        let path = layout.work().join(&name);
        let lock_path = layout.work().join(format!("{name}.lock"));
        let lock = lock::exclusive(&lock_path)?;
        directory(&path, 0o700)?;
        Ok(Self { path, lock_path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        remove_tree(&self.path);
        remove_file(&self.lock_path);
    }
}

/// Removes what nobody holds: work directories, whole blobs, and partial downloads untouched for `parts_older_than`.
/// The caller holds the store's lock. Blocks.
pub(crate) fn sweep(layout: &Layout, parts_older_than: Duration) -> Result<()> {
    for path in entries(&layout.work())? {
        let stem = path.with_extension("");
        let lock_path = stem.with_extension("lock");
        if let Some(_free) = lock::try_exclusive(&lock_path)? {
            remove_tree(&stem);
            remove_file(&lock_path);
        }
    }
    for path in entries(&layout.blobs())? {
        let stem = path.with_extension("");
        let lock_path = stem.with_extension("lock");
        if let Some(_free) = lock::try_exclusive(&lock_path)? {
            remove_file(&stem);
            let part = stem.with_extension("part");
            if age(&part) >= parts_older_than {
                remove_file(&part);
            }
            remove_file(&lock_path);
        }
    }
    // Files that were being written when the process was killed, by the name that temporary files have.
    for path in entries(layout.root())? {
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(".tmp")) {
            remove_file(&path);
        }
    }
    Ok(())
}

fn age(path: &Path) -> Duration {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}

/// The entries of a directory; none where it is not there.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::failed(format!("cannot read {}", path.display()), source);
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Removes a directory with everything in it. What cannot be removed is left for the next sweep.
pub(crate) fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove; the next start tries again");
    }
}

/// Removes a file. What cannot be removed is left for the next sweep.
pub(crate) fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove; the next start tries again");
    }
}
