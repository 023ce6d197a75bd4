//! Folders of the machine that a place has ones of its own in the place of, for programs that know no others.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::namespace::Namespace;

/// A folder of the machine that a namespace has one of its own in the place of. One that the machine did not have is removed
/// when this is dropped, unless somebody else's stands on it by then: a removal would take that mount away.
#[derive(Debug)]
pub struct Hidden {
    folder: PathBuf,
    lock: File,
    made: bool,
}

impl Hidden {
    /// Gives the namespace an empty folder of its own.
    pub fn hide(folder: &str, namespace: &Namespace) -> Result<Self> {
        let folder = PathBuf::from(folder);
        // Somebody else's end may remove it until it is locked.
        let (lock, made) = loop {
            let made = !folder.exists();
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let lock = lock(&folder).with_context(|| format!("cannot lock {}", folder.display()))?;
            if let Some(lock) = lock {
                break (lock, made);
            }
        };
        let hidden = Self { folder, lock, made };
        namespace.hide(&hidden.folder)?;
        Ok(hidden)
    }
}

/// Locks a folder; none if it was removed meanwhile, also where there is another one of its name by then.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let locked = || -> io::Result<Option<File>> {
        let file = File::open(folder)?;
        file.lock_shared()?;
        let is_there = file.metadata()?.ino() == fs::metadata(folder)?.ino();
        Ok(is_there.then_some(file))
    };
    match locked() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        locked => locked,
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.made && self.lock.try_lock().is_ok() {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}
