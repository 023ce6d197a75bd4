//! The one layer of a containerDisk: a tar with `disk/NAME.qcow2`, the same bytes for the same disk always.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The owner of the disk by the convention of containerDisks.
const OWNER: u64 = 107;

/// Digest and size of a blob.
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Blob {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { digest: format!("sha256:{}", hex::encode(Sha256::digest(bytes))), size: bytes.len() as u64 }
    }
}

/// Writes the layer.
pub(super) fn write(name: &str, disk: &Path, to: impl Write) -> Result<()> {
    let mut tar = Builder::new(to);
    let mut folder = header(EntryType::Directory, 0o555, 0);
    tar.append_data(&mut folder, "disk/", io::empty())?;
    let file = File::open(disk).with_context(|| format!("cannot open {}", disk.display()))?;
    let mut entry = header(EntryType::Regular, 0o440, file.metadata()?.len());
    tar.append_data(&mut entry, format!("disk/{name}.qcow2"), file)?;
    tar.into_inner().context("cannot write the layer")?.flush().context("cannot write the layer")
}

/// Digest and size of the layer.
pub(super) fn measure(name: &str, disk: &Path) -> Result<Blob> {
    let mut counter = Counter { hash: Sha256::new(), size: 0 };
    write(name, disk, &mut counter)?;
    Ok(Blob { digest: format!("sha256:{}", hex::encode(counter.hash.finalize())), size: counter.size })
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(OWNER);
    header.set_gid(OWNER);
    header
}

struct Counter {
    hash: Sha256,
    size: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
