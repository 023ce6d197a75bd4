//! Where things are in the store's directory, its root, and how files in it come and go.
//!
//! ```text
//!   lock                       flock for every change of names, images and leases
//!   names.json                 every name and the image it means; replaced by one rename
//!   images/<hex>/image.json    the record
//!   images/<hex>/disk.qcow2    or disk.raw: the base, read-only
//!   images/<hex>/leases/       a file for each holder
//!   blobs/<name>{,.part,.lock} downloads; the name is of the digest, the registry and the size
//!   work/<name>/               unpacking and converting; an image is made here and renamed to images/
//! ```
//!
//! The root, `images` and each image let everyone through (0711), so that QEMU's own user opens a base by its path;
//! everything else is for the daemon's user alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The paths of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates what is missing and puts the modes right.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        directory(root, 0o711)?;
        let root = root
            .canonicalize()
            .map_err(|source| Error::failed(format!("cannot open the store {}", root.display()), source))?;
        let layout = Self { root };
        directory(&layout.images(), 0o711)?;
        directory(&layout.blobs(), 0o700)?;
        directory(&layout.work(), 0o700)?;
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("names.json")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The directory of one image; `hex` is its id without `sha256:`.
    pub(crate) fn image(&self, hex: &str) -> PathBuf {
        self.images().join(hex)
    }

    pub(crate) fn leases(&self, hex: &str) -> PathBuf {
        self.image(hex).join("leases")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }
}

/// Makes a directory with exactly this mode, and its parents.
pub(crate) fn directory(path: &Path, mode: u32) -> Result<()> {
    let result = DirBuilder::new().recursive(true).mode(mode).create(path);
    result
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|source| Error::failed(format!("cannot make the directory {}", path.display()), source))
}

/// Writes a file that is there whole or not at all, also after a power failure.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_directory(parent)
    };
    write().map_err(|source| Error::failed(format!("cannot write {}", path.display()), source))
}

/// Opens a file that stays, to be read and written by the daemon's user alone; makes it where it is not there.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

/// Makes renames and new entries in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether a name is the 64 hexadecimal digits of a SHA-256.
pub(crate) fn is_hex_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
