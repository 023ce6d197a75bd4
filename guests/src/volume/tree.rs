//! The files of a volume: what they hold, and whose they are.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The most files, directories and links of a volume.
const MOST_ENTRIES: usize = 50_000;
/// The most bytes of all its files.
const MOST_BYTES: usize = 256 << 20;

/// A file, a directory or a link.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permissions, without the type.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file with this content.
    File(Bytes),
    /// A symbolic link to there.
    Link(String),
}

/// The content may be secret.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            Kind::Directory => "directory".to_owned(),
            Kind::File(content) => format!("file of {} bytes", content.len()),
            Kind::Link(to) => format!("link to {to}"),
        };
        write!(f, "{kind} {:o} {}:{}", self.mode, self.uid, self.gid)
    }
}

/// All that is in a volume, by path.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
    /// Worked out once, since a tree is compared with the next one and the one before.
    stamp: OnceLock<String>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.stamp() == other.stamp()
    }
}

impl Eq for Tree {}

impl Tree {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry at a path relative to the volume, whose directories have been added before.
    pub fn add(&mut self, path: impl Into<String>, entry: Entry) -> Result<()> {
        self.stamp.take();
        let path = path.into();
        let plain = |part: &str| !part.is_empty() && part != "." && !part.starts_with("..");
        if !path.split('/').all(plain) || path.contains('\0') {
            return Err(Error::Unsupported(format!("{path:?} is no path in a volume")));
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !matches!(self.entries.get(parent), Some(Entry { kind: Kind::Directory, .. }))
        {
            return Err(Error::Unsupported(format!("{path:?} in a volume has no directory")));
        }
        if let Kind::File(content) = &entry.kind {
            self.bytes += content.len();
        }
        if self.entries.len() >= MOST_ENTRIES || self.bytes > MOST_BYTES {
            return Err(Error::Unsupported(format!(
                "a volume of more than {MOST_ENTRIES} entries or {} MiB is too large to be kept in step",
                MOST_BYTES >> 20
            )));
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Every entry after its directory.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The entry at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The content of the file at a path.
    pub fn content(&self, path: &str) -> Option<&Bytes> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(content),
            Kind::Directory | Kind::Link(_) => None,
        }
    }

    /// The names at the top.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str).filter(|path| !path.contains('/'))
    }

    /// Tells this tree from any other: hexadecimal digits.
    pub(super) fn stamp(&self) -> &str {
        self.stamp.get_or_init(|| self.digest())
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (path, Entry { kind, mode, uid, gid }) in &self.entries {
            add(path.as_bytes());
            add(&[mode.to_le_bytes(), uid.to_le_bytes(), gid.to_le_bytes()].concat());
            match kind {
                Kind::Directory => add(b"d"),
                Kind::File(content) => {
                    add(b"f");
                    add(content);
                }
                Kind::Link(to) => {
                    add(b"l");
                    add(to.as_bytes());
                }
            }
        }
        hash.finalize().iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &'static str) -> Entry {
        Entry { kind: Kind::File(Bytes::from_static(content.as_bytes())), mode: 0o644, uid: 0, gid: 0 }
    }

    #[test]
    fn only_paths_inside_are_taken() {
        let mut tree = Tree::new();
        for bad in ["", "/etc", "../x", "a/../b", "..data", "a//b", "a/b", "x\0"] {
            assert!(tree.add(bad, file("")).is_err(), "{bad:?}");
        }
        tree.add("a", Entry { kind: Kind::Directory, ..file("") }).unwrap();
        tree.add("a/b", file("")).unwrap();
        tree.add(".hidden", file("")).unwrap();
        assert_eq!(tree.names().collect::<Vec<_>>(), [".hidden", "a"]);
    }

    #[test]
    fn a_stamp_tells_every_difference() {
        let stamp = |path: &str, entry: Entry| {
            let mut tree = Tree::new();
            tree.add(path, entry).unwrap();
            tree.stamp().to_owned()
        };
        let base = stamp("a", file("x"));
        assert_eq!(base, stamp("a", file("x")));
        for other in [
            stamp("b", file("x")),
            stamp("a", file("y")),
            stamp("a", Entry { mode: 0o600, ..file("x") }),
            stamp("a", Entry { gid: 1, ..file("x") }),
            stamp("a", Entry { kind: Kind::Link("x".into()), ..file("") }),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_stamp_goes_with_what_is_added() {
        let mut tree = Tree::new();
        let empty = tree.stamp().to_owned();
        tree.add("a", file("x")).unwrap();
        assert_ne!(tree.stamp(), empty);
    }

    #[test]
    fn debug_shows_no_content() {
        let mut tree = Tree::new();
        tree.add("password", file("hunter2")).unwrap();
        assert!(!format!("{tree:?}").contains("hunter2"));
    }
}
