//! The log file that the kubelet reads.
//!
//! It is opened for appending, and each record is one write. The kubelet rotates it by renaming it and asking for
//! [`LogFile::reopen`]: what was written before stays in the renamed file, what comes after goes to the new one.
//!
//! Failure path: a full disk may take a part of a line. That part is cut off again, so the file never holds half a
//! line, and the caller writes the record once more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

/// Opens for appending; a half line that a dying writer left at the end is cut off.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let mut size = file.metadata()?.len();
    let whole = whole_lines(&file, size)?;
    if whole < size {
        file.set_len(whole)?;
        size = whole;
    }
    Ok((file, size))
}

/// Where the last whole line ends.
fn whole_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut end = size;
    while end > 0 {
        let from = end.saturating_sub(buffer.len() as u64);
        let piece = &mut buffer[..usize::try_from(end - from).unwrap_or(0)];
        file.read_exact_at(piece, from)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

impl LogFile {
    /// Opens the file, and makes it and its directories where they are missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let (file, size) = open(&path).map_err(Error::file("open", &path))?;
        Ok(Self { path, file, size })
    }

    /// Opens the path again, after the kubelet has renamed the file that it led to.
    pub fn reopen(&mut self) -> Result<()> {
        (self.file, self.size) = open(&self.path).map_err(Error::file("reopen", &self.path))?;
        Ok(())
    }

    /// Writes one line. After an error nothing of it is in the file.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let failed = match self.file.write(line) {
            Ok(n) if n == line.len() => {
                self.size += n as u64;
                return Ok(());
            }
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => io::ErrorKind::StorageFull.into(),
            Err(error) => error,
        };
        let end = self.file.metadata()?.len();
        let whole = whole_lines(&self.file, end)?;
        if whole < end {
            self.file.set_len(whole)?;
        }
        Err(failed)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is: the inode's number.
    pub fn inode(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(Error::file("look at", &self.path))?.ino())
    }

    /// The size in bytes, as this writer knows it.
    pub fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_appends_and_reopens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod/app/0.log");
        let mut log = LogFile::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        log.write(b"one\n").unwrap();
        let rotated = path.with_extension("old");
        fs::rename(&path, &rotated).unwrap();
        log.write(b"two\n").unwrap();
        log.reopen().unwrap();
        log.write(b"three\n").unwrap();
        assert_eq!(fs::read(&rotated).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        assert_eq!(log.size(), 6);
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        fs::write(&path, [&b"whole\n"[..], &[b'x'; 9000]].concat()).unwrap();
        assert_eq!(LogFile::open(&path).unwrap().size(), 6);
        assert_eq!(fs::read(&path).unwrap(), b"whole\n");
    }
}
