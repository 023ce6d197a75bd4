//! In which boot of the node the delegate was heard last.
//!
//! ```text
//!   no mark, or one of this boot: what it runs may run still --+
//!   a mark of an earlier boot: nothing of it runs -------------+--it is heard--> the mark of this boot
//! ```
//!
//! The mark stands in the state directory, so it outlives a boot, unlike what was heard itself.
//!
//! Failure paths: a mark that cannot be read is as if there were none; one that cannot be written costs a warning, and the next
//! boot a wait for the delegate. One that a crash of the node has lost or cut off is from an earlier boot either way.

use std::path::PathBuf;
use std::sync::Mutex;

use super::question::{lock, replace};

/// Where the kernel tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The mark.
#[derive(Debug)]
pub(super) struct Mark {
    file: PathBuf,
    boot: Option<String>,
    marked: Mutex<Option<String>>,
    is_earlier: bool,
}

impl Mark {
    /// The mark of this file.
    pub(super) fn open(file: PathBuf) -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).ok();
        let marked = std::fs::read_to_string(&file).ok();
        let is_earlier = boot.is_some() && marked.is_some() && boot != marked;
        Self { file, boot, marked: Mutex::new(marked), is_earlier }
    }

    /// Whether the delegate had last been heard in an earlier boot when the daemon started.
    pub(super) fn is_earlier(&self) -> bool {
        self.is_earlier
    }

    /// Sets it to this boot. Blocks.
    pub(super) fn set(&self) {
        let mut marked = lock(&self.marked);
        let Some(boot) = self.boot.as_ref().filter(|boot| marked.as_ref() != Some(boot)) else { return };
        match replace(&self.file, boot.as_bytes()) {
            Ok(()) => *marked = Some(boot.clone()),
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "cannot note that the delegate was heard");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mark_of_another_boot_is_earlier() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mark");
        let mark = Mark::open(file.clone());
        assert!(!mark.is_earlier(), "there is none");
        mark.set();
        assert!(!Mark::open(file.clone()).is_earlier(), "it is of this boot");
        std::fs::write(&file, "another boot\n").unwrap();
        let mark = Mark::open(file.clone());
        assert!(mark.is_earlier());
        mark.set();
        assert!(!Mark::open(file).is_earlier());
    }
}
