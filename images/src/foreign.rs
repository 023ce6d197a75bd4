//! The formats of other hypervisors: what makes such a file depend on another one is refused before `qemu-img` opens
//! it.
//!
//! VMDK: a text descriptor names extents elsewhere, and so may an embedded one whose header tells no capacity; a parent
//! is named by its content id. VHD: a differencing disk is type 4 in its footer. VHDX and VDI: `qemu-img` refuses
//! parents itself.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::{Error, ImportFormat, Result};

const SECTOR: u64 = 512;

/// The most of an embedded VMDK descriptor that is read, in bytes. Writers make at most 20 sectors.
const LARGEST_DESCRIPTOR: u64 = 64 << 10;

/// Where QEMU looks for the name of a parent whatever the header says, and how much of it, in bytes.
const QEMU_DESCRIPTOR: (u64, u64) = (SECTOR, 20 * SECTOR);

/// Looks at the first and last bytes of the file.
pub(crate) fn check(file: &File, format: ImportFormat, name: &str) -> Result<()> {
    match format {
        ImportFormat::Vmdk => vmdk(file, name),
        ImportFormat::Vhd => vhd(file, name),
        ImportFormat::Vhdx => signature(file, name, 0, b"vhdxfile", "vhdx"),
        ImportFormat::Vdi => signature(file, name, 64, &[0x7f, 0x10, 0xda, 0xbe], "vdi"),
        ImportFormat::Qcow2 | ImportFormat::Raw => Ok(()),
    }
}

fn vmdk(file: &File, name: &str) -> Result<()> {
    let refused = |why: &str| Error::Refused(format!("{name}: {why}"));
    let header = read(file, 0, SECTOR).ok_or_else(|| refused("it is too short to be a vmdk"))?;
    if header.starts_with(b"# Disk DescriptorFile") {
        return Err(refused(
            "the vmdk is a descriptor whose extents are in other files; export it as one file (`monolithicSparse` or \
             `streamOptimized`, as in an OVA)",
        ));
    }
    if !header.starts_with(b"KDMV") {
        return Err(refused("it is called vmdk but is none that is known; export it as `streamOptimized`"));
    }
    let number =
        |at: usize| header.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    let (capacity, descriptor_at, descriptor_sectors) = (number(12), number(28), number(36));
    if capacity == 0 {
        return Err(refused(
            "the vmdk tells no capacity, so its extents would be other files; export it as one file",
        ));
    }
    if descriptor_at != 0 {
        let length = descriptor_sectors.saturating_mul(SECTOR).min(LARGEST_DESCRIPTOR);
        let descriptor = read(file, descriptor_at.saturating_mul(SECTOR), length)
            .ok_or_else(|| refused("the vmdk's descriptor is cut off; the file is damaged"))?;
        alone(&descriptor).map_err(refused)?;
    }
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let (at, most) = QEMU_DESCRIPTOR;
    let descriptor = read(file, at, most.min(length.saturating_sub(at))).ok_or_else(|| {
        refused("the vmdk cannot be read to the end of its descriptor; the file is damaged")
    })?;
    alone(&descriptor).map_err(refused)
}

/// Refuses a VMDK's descriptor that names a parent, or extents beside the one that it stands in.
fn alone(descriptor: &[u8]) -> Result<(), &'static str> {
    let descriptor = String::from_utf8_lossy(descriptor).to_ascii_lowercase();
    let parent_id = descriptor.lines().filter_map(|line| line.split_once('=')).any(|(key, value)| {
        key.trim() == "parentcid" && value.trim_matches(['\0', ' ', '\r', '"']) != "ffffffff"
    });
    // QEMU takes this word wherever it stands.
    if parent_id || descriptor.contains("parentfilenamehint") {
        return Err("the vmdk stands on a parent disk (a snapshot); consolidate it before the import");
    }
    let mut extents = descriptor.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let access = matches!(words.next()?, "rw" | "rdonly" | "noaccess");
        let counted = words.next()?.bytes().all(|b| b.is_ascii_digit());
        (access && counted).then(|| words.next().unwrap_or_default())
    });
    match (extents.next(), extents.next()) {
        (None | Some("sparse"), None) => Ok(()),
        _ => Err("the vmdk's descriptor names extents in other files; export it as one file"),
    }
}

fn vhd(file: &File, name: &str) -> Result<()> {
    let refused = |why: &str| Error::Refused(format!("{name}: {why}"));
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let footer = [0, length.saturating_sub(SECTOR)]
        .into_iter()
        .filter_map(|at| read(file, at, SECTOR))
        .find(|footer| footer.starts_with(b"conectix"))
        .ok_or_else(|| {
            refused("it is called vhd but is none: there is no footer; the file is damaged or cut off")
        })?;
    match footer.get(60..64) {
        Some([0, 0, 0, 4]) => {
            Err(refused("the vhd is a differencing disk with a parent; merge it before the import"))
        }
        _ => Ok(()),
    }
}

fn signature(file: &File, name: &str, at: u64, wanted: &[u8], what: &str) -> Result<()> {
    match read(file, at, wanted.len() as u64) {
        Some(found) if found == wanted => Ok(()),
        _ => {
            Err(Error::Refused(format!("{name}: it is called {what} but is none: its signature is missing")))
        }
    }
}

fn read(file: &File, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
