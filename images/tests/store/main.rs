//! The store on real parts: a real registry on loopback, real disk images by `qemu-img`, real processes that are
//! killed. Needs the Debian packages `docker-registry`, `qemu-utils`, `openssl` and `util-linux`.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod content;
mod crashes;
mod downloads;
mod imports;
mod names;
mod proxy;
mod pulls;
mod refusals;
mod registry;
mod tokens;

use std::path::{Path, PathBuf};

use images::{Limits, Registries, Store};

/// Generous bounds.
pub(crate) const LIMITS: Limits = Limits { virtual_size_bytes: 1 << 30, unpacked_bytes: 1 << 30 };

/// A store in a directory that goes away with it.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    directory: tempfile::TempDir,
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        Self::with(LIMITS).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), limits).await.unwrap();
        Self { store, directory }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Every path in the store with its length, in order: what is there, to the byte.
    pub(crate) fn inventory(&self) -> Vec<(PathBuf, u64)> {
        inventory(&self.root())
    }
}

pub(crate) fn inventory(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let length = if metadata.is_dir() { 0 } else { metadata.len() };
            if metadata.is_dir() {
                left.push(entry.path());
            }
            found.push((entry.path().strip_prefix(root).unwrap().to_owned(), length));
        }
    }
    found.sort();
    found
}

/// One host by plain HTTP.
pub(crate) fn plain(host: &str) -> Registries {
    Registries { plain_http: vec![host.to_owned()], ca_files: Vec::new() }
}
