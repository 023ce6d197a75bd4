//! The root disk: an overlay over a base that many machines share.
//!
//! The base is opened for reading only, and its content is never trusted: its size is read from its header here, the
//! formats are always named, and a base that refers to another file is refused before any program opens it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::directory::Directory;
use crate::{DiskFormat, Error, Result, RootDisk};

const CREATE_DEADLINE: Duration = Duration::from_secs(30);
/// Set in a qcow2 header whose clusters are in another file.
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

/// The size in bytes of the disk that a base describes.
pub(crate) fn base_size(disk: &RootDisk) -> Result<u64> {
    let base = disk.base.display();
    let mut file = File::open(&disk.base)
        .map_err(|error| Error::Invalid(format!("the base image {base} cannot be read: {error}")))?;
    let length = file.metadata().map_err(|error| Error::failed(format!("cannot examine {base}"), error))?;
    if !length.is_file() {
        return Err(Error::Invalid(format!("the base image {base} is not a file")));
    }
    if disk.format == DiskFormat::Raw {
        return match length.len() {
            0 => Err(Error::Invalid(format!("the base image {base} is empty"))),
            length => Ok(length.next_multiple_of(512)),
        };
    }
    qcow2_size(&mut file)
        .map_err(|error| Error::Invalid(format!("the base image {base} is refused: {error}")))
}

fn qcow2_size(file: &mut impl Read) -> io::Result<u64> {
    let mut header = [0; 80];
    file.read_exact(&mut header).map_err(|_| io::Error::other("it is too short for qcow2"))?;
    let number = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let version = u32::from_be_bytes(header[4..8].try_into().expect("four bytes"));
    if header[..4] != *b"QFI\xfb" || !(2..=3).contains(&version) {
        return Err(io::Error::other("it is not qcow2 version 2 or 3"));
    }
    if number(8) != 0 {
        return Err(io::Error::other("it names a backing file"));
    }
    if version == 3 && number(72) & EXTERNAL_DATA_FILE != 0 {
        return Err(io::Error::other("it keeps its data in another file"));
    }
    Ok(number(24))
}

/// Makes the overlay over a base of so many bytes, if there is none. The base is not opened.
pub(crate) async fn make_overlay(
    directory: &Directory,
    qemu_img: &Path,
    disk: &RootDisk,
    base: u64,
) -> Result<()> {
    let size = disk.size_bytes.unwrap_or(base);
    if size < base {
        return Err(Error::Invalid(format!(
            "machine {}: a disk of {size} bytes is smaller than its base image of {base} bytes",
            directory.id()
        )));
    }
    let overlay = directory.file("overlay.qcow2");
    if overlay.exists() {
        return Ok(());
    }
    let aside = directory.file("overlay.qcow2.new");
    let format = match disk.format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
    };
    let mut command = Command::new(qemu_img);
    command.args(["create", "-q", "-u", "-f", "qcow2", "-F", format, "-b"]).arg(&disk.base);
    command.arg(&aside).arg(size.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(CREATE_DEADLINE, command.output())
        .await
        .map_err(|_| directory.failure(format!("qemu-img made no disk within {CREATE_DEADLINE:?}")))?
        .map_err(|error| directory.failed("cannot run qemu-img", error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(directory.failure(format!("qemu-img made no disk: {}", said.trim())));
    }
    std::fs::rename(&aside, &overlay).map_err(|error| directory.failed("cannot place its disk", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut header = vec![0; 104];
        header[..4].copy_from_slice(b"QFI\xfb");
        header[7] = 3;
        header[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
        change(&mut header);
        header
    }

    fn size(bytes: &[u8]) -> Result<u64, String> {
        qcow2_size(&mut &bytes[..]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_base_that_refers_to_other_files_is_refused() {
        assert_eq!(size(&header(|_| {})), Ok(1 << 30));
        assert!(size(&header(|h| h[15] = 1)).unwrap_err().contains("backing file"));
        assert!(size(&header(|h| h[79] = 4)).unwrap_err().contains("another file"));
        assert!(size(&header(|h| h[0] = 0)).unwrap_err().contains("not qcow2"));
        assert!(size(b"QFI\xfb").unwrap_err().contains("too short"));
    }
}
