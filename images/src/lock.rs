//! Locks between processes, by `flock`. They end with the process, so a killed one never leaves the store locked.
//!
//! Each lock opens its file anew: two locks of one process exclude each other as two processes do.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result, layout};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Waits for the lock and takes it for this caller alone. Blocks: never called on an async thread.
pub(crate) fn exclusive(path: &Path) -> Result<Lock> {
    take(path, FlockOperation::LockExclusive)
}

/// Waits for the lock and takes it together with other readers. Blocks.
pub(crate) fn shared(path: &Path) -> Result<Lock> {
    take(path, FlockOperation::LockShared)
}

/// Takes the lock if nobody holds it.
pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    let file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(same_file(&file, path).then_some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(Error::failed(format!("cannot lock {}", path.display()), errno)),
    }
}

fn take(path: &Path, operation: FlockOperation) -> Result<Lock> {
    loop {
        let file = open(path)?;
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(Error::failed(format!("cannot lock {}", path.display()), errno)),
        }
        // The holder before may have removed the file while this caller waited: then the lock is on nothing.
        if same_file(&file, path) {
            return Ok(Lock { _file: file });
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
        _ => false,
    }
}

fn open(path: &Path) -> Result<File> {
    layout::open(path)
        .map_err(|source| Error::failed(format!("cannot open the lock {}", path.display()), source))
}
