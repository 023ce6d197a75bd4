//! The side of a copy that is on this machine: a file that is read, or the part of one that is written.
//!
//! - Happy path: [`Whole::of`] hashes a file, [`Whole::from`] reads the rest of it; [`Part::open`] hashes what was written
//!   before, [`Part::finish`] puts the whole in its place.
//! - Failures: [`Error::File`] with the path and the system's own words.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};
use tokio::task::spawn_blocking;

use crate::{Error, Result};

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;
/// How many digits of the hash name a part.
const NAMING: usize = 16;

/// A file of this machine that is to be copied.
pub(super) struct Whole {
    path: PathBuf,
    pub(super) bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub(super) hash: String,
}

impl Whole {
    pub(super) async fn of(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let hashed = path.clone();
        let (bytes, hash) = blocking(&path, move || hash_of(std::fs::File::open(hashed)?)).await?;
        Ok(Self { path, bytes, hash: hex::encode(hash.finalize()) })
    }

    /// The rest of it, from this byte on.
    pub(super) async fn from(&self, at: u64) -> Result<Rest<'_>> {
        let open = async {
            let mut file = File::open(&self.path).await?;
            file.seek(SeekFrom::Start(at)).await?;
            Ok(file)
        };
        let file = open.await.map_err(|error| failed(&self.path, &error))?;
        Ok(Rest { file, path: &self.path, left: self.bytes.saturating_sub(at) })
    }
}

/// The rest of a file, no more than it had when it was hashed.
pub(super) struct Rest<'a> {
    file: File,
    path: &'a Path,
    left: u64,
}

impl Rest<'_> {
    /// The next piece; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = self.file.read_buf(&mut piece).await;
        read.map_err(|error| failed(self.path, &error))?;
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Ok(Some(piece.freeze()).filter(|piece| !piece.is_empty()))
    }
}

/// A hash in hexadecimal digits.
pub(super) fn hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(hash)
}

/// What has arrived of a file.
pub(super) struct Part {
    to: PathBuf,
    path: PathBuf,
    file: File,
    whole_bytes: u64,
    whole_hash: [u8; 32],
    bytes: u64,
    hash: Sha256,
}

impl Part {
    /// Goes on with the part of a file of this length and hash that is here, or begins one.
    pub(super) async fn open(to: &Path, whole_bytes: u64, whole_hash: [u8; 32]) -> Result<Self> {
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".{}.part", &hex::encode(whole_hash)[..NAMING]));
        let path = PathBuf::from(name);
        let opened = path.clone();
        let (file, bytes, hash) = blocking(&path, move || {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).append(true).create(true).mode(0o600).open(opened)?;
            if file.metadata()?.len() > whole_bytes {
                file.set_len(0)?;
            }
            let (bytes, hash) = hash_of(file.try_clone()?)?;
            Ok((file, bytes, hash))
        })
        .await?;
        Ok(Self { to: to.to_owned(), path, file: File::from_std(file), whole_bytes, whole_hash, bytes, hash })
    }

    /// The bytes that have arrived so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds what came next. False where that is more than there can be.
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<bool> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.whole_bytes {
            return Ok(false);
        }
        self.hash.update(piece);
        self.file.write_all(piece).await.map_err(|error| failed(&self.path, &error))?;
        Ok(true)
    }

    /// Puts it in its place; false, and it is gone, where it is not what it was to be.
    pub(super) async fn finish(self) -> Result<bool> {
        let Self { to, path, mut file, whole_bytes, whole_hash, bytes, hash } = self;
        let right = bytes == whole_bytes && hash.finalize()[..] == whole_hash;
        let ended = async {
            if !right {
                return fs::remove_file(&path).await;
            }
            file.flush().await?;
            file.sync_data().await?;
            fs::rename(&path, &to).await
        };
        ended.await.map_err(|error| failed(&path, &error))?;
        Ok(right)
    }
}

/// The length and the hash of a file, from where it stands.
fn hash_of(mut file: std::fs::File) -> io::Result<(u64, Sha256)> {
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((bytes, hash)),
            count => {
                hash.update(&piece[..count]);
                bytes += count as u64;
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::File(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_the_file_leaves_nothing_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("file");
        std::fs::write(&to, "old").unwrap();
        let whole: [u8; 32] = Sha256::digest(b"whole").into();
        for (came, all) in [(&b"whole!"[..], false), (b"other", true), (b"who", true)] {
            let mut part = Part::open(&to, 5, whole).await.unwrap();
            assert_eq!((part.bytes(), part.write(came).await.unwrap()), (0, all));
            assert!(!part.finish().await.unwrap(), "{came:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        let mut part = Part::open(&to, 5, whole).await.unwrap();
        part.write(b"who").await.unwrap();
        part.file.flush().await.unwrap();
        drop(part);
        let mut part = Part::open(&to, 5, whole).await.unwrap();
        assert_eq!(part.bytes(), 3, "it is gone on with");
        part.write(b"le").await.unwrap();
        assert!(part.finish().await.unwrap());
        assert_eq!(std::fs::read(&to).unwrap(), b"whole");
    }
}
