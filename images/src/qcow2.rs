//! The header of a qcow2 file, read by ourselves before any other program opens the file.
//!
//! What would make the reader open another file, or need a secret, is refused here: a backing file, an external data
//! file, encryption. So is what nobody knows the meaning of. Bits that every QEMU of today handles (compression type,
//! extended L2 entries, lazy refcounts) may stay. Only the first cluster is ever read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::{Error, Result};

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Incompatible feature bits.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// Header extensions.
const EXTENSION_END: u32 = 0;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;

/// The longest name of a backing file that the format allows, in bytes.
const LONGEST_BACKING: u64 = 1023;

/// More extensions than any writer makes.
const MOST_EXTENSIONS: usize = 64;

/// Reads the header and refuses what may not stay. Returns the virtual size in bytes. `name` is for the messages.
pub(crate) fn check(file: &File, name: &str) -> Result<u64> {
    let refused = |why: String| Error::Refused(format!("{name}: {why}"));
    let length =
        file.metadata().map_err(|source| Error::failed(format!("cannot read {name}"), source))?.len();
    let head = Bytes { file, length };
    let short = || refused("the qcow2 header is truncated; the disk is damaged".to_owned());

    if head.array::<4>(0).ok_or_else(short)? != MAGIC {
        return Err(refused(
            "it is called qcow2 but is none: it does not begin with qcow2's signature".to_owned(),
        ));
    }
    let version = head.u32(4).ok_or_else(short)?;
    if !(2..=3).contains(&version) {
        return Err(refused(format!("qcow2 version {version} is not known; convert it to version 2 or 3")));
    }
    let backing = head.u64(8).ok_or_else(short)?;
    if backing != 0 {
        return Err(refused(backing_message(&head, backing)));
    }
    let cluster_bits = head.u32(20).ok_or_else(short)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(refused(format!(
            "a qcow2 cluster of 2^{cluster_bits} bytes is not possible; the disk is damaged"
        )));
    }
    let size = head.u64(24).ok_or_else(short)?;
    let crypt = head.u32(32).ok_or_else(short)?;
    if crypt != 0 {
        let how = match crypt {
            1 => "AES".to_owned(),
            2 => "LUKS".to_owned(),
            other => format!("method {other}"),
        };
        return Err(refused(format!(
            "the qcow2 file is encrypted ({how}); decrypt it by `qemu-img convert`, for nobody could enter the key"
        )));
    }
    if version == 3 {
        check_features(head.u64(72).ok_or_else(short)?).map_err(refused)?;
    }
    let header_length = if version == 2 { 72 } else { head.u32(100).ok_or_else(short)?.into() };
    check_extensions(&head, header_length, 1 << cluster_bits, name)?;
    Ok(size)
}

fn check_features(incompatible: u64) -> Result<(), String> {
    if incompatible & DATA_FILE != 0 {
        return Err(
            "the qcow2 file keeps its content in an external data file; convert it to a qcow2 of its own by \
                    `qemu-img convert`"
                .to_owned(),
        );
    }
    if incompatible & CORRUPT != 0 {
        return Err("the qcow2 file is marked corrupt; repair it by `qemu-img check -r all`".to_owned());
    }
    let unknown = incompatible & !(DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2);
    if unknown != 0 {
        return Err(format!(
            "the qcow2 file needs features that are not known (incompatible bits {unknown:#x}); convert it by an \
             older `qemu-img convert`"
        ));
    }
    Ok(())
}

fn check_extensions(head: &Bytes<'_>, start: u64, cluster: u64, name: &str) -> Result<()> {
    let refused = |why: &str| Error::Refused(format!("{name}: {why}"));
    let mut at = start;
    for _ in 0..MOST_EXTENSIONS {
        // A header without extensions may end the file or the cluster.
        let (Some(kind), Some(length)) = (head.u32(at), head.u32(at + 4)) else { return Ok(()) };
        match kind {
            EXTENSION_END => return Ok(()),
            EXTENSION_DATA_FILE => {
                return Err(refused(
                    "the qcow2 file names an external data file; convert it by `qemu-img convert`",
                ));
            }
            EXTENSION_ENCRYPTION => {
                return Err(refused(
                    "the qcow2 file has an encryption header (LUKS); decrypt it by `qemu-img convert`",
                ));
            }
            _ => {}
        }
        at += 8 + u64::from(length).next_multiple_of(8);
        if at >= cluster {
            return Ok(());
        }
    }
    Err(refused("the qcow2 header has too many extensions; the disk is damaged"))
}

fn backing_message(head: &Bytes<'_>, at: u64) -> String {
    let length = u64::from(head.u32(16).unwrap_or(0)).min(LONGEST_BACKING);
    let mut name = vec![0; usize::try_from(length).unwrap_or(0)];
    let name = match head.read(at, &mut name) {
        Some(()) => String::from_utf8_lossy(&name).into_owned(),
        None => String::new(),
    };
    let shown: String = name.chars().filter(|c| !c.is_control()).take(120).collect();
    let what = if name.starts_with("json:") { "a `json:` reference" } else { "a backing file" };
    format!(
        "the qcow2 file stands on {what} ({shown:?}); an image must be whole: flatten it by `qemu-img convert -O qcow2`"
    )
}

/// A file's beginning. Reads past the end give none.
struct Bytes<'a> {
    file: &'a File,
    length: u64,
}

impl Bytes<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> Option<()> {
        let end = at.checked_add(into.len() as u64)?;
        (end <= self.length).then_some(())?;
        self.file.read_exact_at(into, at).ok()
    }

    fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(at, &mut bytes)?;
        Some(bytes)
    }

    fn u32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    fn u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }
}
