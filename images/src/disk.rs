//! What the one disk file of an image may be, and the checks before it is published.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::{Error, Limits, Result, qcow2, qemu_img};

/// The beginning of a LUKS container.
const LUKS: &[u8] = b"LUKS\xba\xbe";

/// The format of a base. Decided once, and then explicit for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Qcow2,
    Raw,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }

    /// The format of a file in a layer: what its name says, else qcow2 by its signature, else raw where it has the
    /// signature of a boot sector.
    pub(crate) fn of(file: &File, name: &str) -> Result<Self> {
        let extension =
            Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "qcow2" => return Ok(Self::Qcow2),
            "raw" => return Ok(Self::Raw),
            _ => {}
        }
        let mut sector = [0; 512];
        let whole = file.read_exact_at(&mut sector, 0).is_ok();
        if sector.starts_with(&qcow2::MAGIC) {
            Ok(Self::Qcow2)
        } else if whole && (sector.ends_with(&[0x55, 0xaa]) || sector.starts_with(LUKS)) {
            Ok(Self::Raw)
        } else {
            Err(Error::Refused(format!(
                "{name} is no disk image: neither a qcow2 nor a boot sector begins it; call it *.raw if it is a raw \
                 disk all the same"
            )))
        }
    }
}

/// What is known of a disk that passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) virtual_size_bytes: u64,
    /// What it takes up on this node, in bytes.
    pub(crate) size_bytes: u64,
}

/// Checks a disk by its header and then by `qemu-img`. `name` is for the messages.
pub(crate) async fn check(path: &Path, format: Format, name: &str, limits: Limits) -> Result<Checked> {
    let failed = |source| Error::failed(format!("cannot read {name}"), source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let virtual_size_bytes = match format {
        Format::Qcow2 => qcow2::check(&file, name)?,
        Format::Raw => raw(&file, metadata.len(), name)?,
    };
    within(virtual_size_bytes, limits, name)?;
    let info = qemu_img::info(path, format.name(), name).await?;
    sound(&info, format.name(), name)?;
    if format == Format::Qcow2 {
        if info.virtual_size != virtual_size_bytes {
            return Err(Error::Refused(format!("{name}: its header tells two sizes; the disk is damaged")));
        }
        qemu_img::check(path, name).await?;
    }
    Ok(Checked { virtual_size_bytes, size_bytes: metadata.blocks() * 512 })
}

/// Refuses a disk larger than the limit.
pub(crate) fn within(virtual_size_bytes: u64, limits: Limits, name: &str) -> Result<()> {
    if virtual_size_bytes == 0 {
        return Err(Error::Refused(format!("{name}: the disk is empty")));
    }
    if virtual_size_bytes > limits.virtual_size_bytes {
        return Err(Error::Refused(format!(
            "{name}: its virtual size of {virtual_size_bytes} bytes passes the limit of {} bytes; raise the limit of \
             the virtual size in the configuration if it is meant",
            limits.virtual_size_bytes
        )));
    }
    Ok(())
}

/// Refuses what `qemu-img` saw and our own look did not.
pub(crate) fn sound(info: &qemu_img::Info, format: &str, name: &str) -> Result<()> {
    let refused = |why: String| Err(Error::Refused(format!("{name}: {why}")));
    if info.format != format {
        return refused(format!("it was opened as {} instead of {format}", info.format));
    }
    if let Some(backing) = &info.backing_filename {
        return refused(format!(
            "it stands on a backing file ({backing:?}); flatten it by `qemu-img convert`"
        ));
    }
    if let Some(data) = info.data_file() {
        return refused(format!("it keeps its content in an external data file ({data:?}); flatten it"));
    }
    if info.encrypted {
        return refused("it is encrypted; decrypt it, for nobody could enter the key".to_owned());
    }
    Ok(())
}

fn raw(file: &File, length: u64, name: &str) -> Result<u64> {
    let mut head = [0; 6];
    if file.read_exact_at(&mut head, 0).is_ok() && head == LUKS {
        return Err(Error::Refused(format!(
            "{name}: the raw disk is encrypted (LUKS header); decrypt it, for nobody could enter the key"
        )));
    }
    if !length.is_multiple_of(512) {
        return Err(Error::Refused(format!(
            "{name}: a raw disk of {length} bytes is no whole number of 512-byte sectors; it is truncated or no disk"
        )));
    }
    Ok(length)
}
