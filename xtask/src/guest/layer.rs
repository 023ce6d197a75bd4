//! The one layer of an image, the same bytes for the same content always: of a containerDisk a tar with `disk/NAME.qcow2`,
//! of containers the tar of their root.

use std::fs::File;
use std::io::{self, Write};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::Image;

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
pub(super) fn write(image: &Image, mut to: impl Write) -> Result<()> {
    let path = image.file();
    let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    if image.is_root() {
        io::copy(&mut file, &mut to).context("cannot write the layer")?;
        return to.flush().context("cannot write the layer");
    }
    let mut tar = Builder::new(to);
    let mut folder = header(EntryType::Directory, 0o555, 0);
    tar.append_data(&mut folder, "disk/", io::empty())?;
    let mut entry = header(EntryType::Regular, 0o440, file.metadata()?.len());
    tar.append_data(&mut entry, format!("disk/{}.qcow2", image.name), file)?;
    tar.into_inner().context("cannot write the layer")?.flush().context("cannot write the layer")
}

/// Digest and size of the layer.
pub(super) fn measure(image: &Image) -> Result<Blob> {
    let mut counter = Counter { hash: Sha256::new(), size: 0 };
    write(image, &mut counter)?;
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
