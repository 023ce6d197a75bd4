//! Folders of the machine that a place has ones of its own in the place of, for programs that know no others.

use std::fs::{self, File};
use std::path::PathBuf;

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
        let made = !folder.exists();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::open(&folder)?;
        lock.lock_shared().with_context(|| format!("cannot lock {}", folder.display()))?;
        let hidden = Self { folder, lock, made };
        namespace.hide(&hidden.folder)?;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.made && self.lock.try_lock().is_ok() {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}
