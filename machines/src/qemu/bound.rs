//! Files that a guest can make grow are held to a bound, without their offsets ever shifting.
//!
//! The oldest part is released by punching a hole: it reads as NUL bytes from then on and takes no space, so whoever
//! follows the file by offset loses no place. Where the file system knows no holes, the whole file is released by
//! shrinking it to nothing and growing it back: offsets stay, the kept part is lost too.
//!
//! A write wakes the watcher by inotify; after each look it rests, so a guest that never stops writing costs little.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, inotify};

const BLOCK: u64 = 4096;
/// The rest between two looks at growing files.
const REST: Duration = Duration::from_millis(250);

/// Releases the oldest part of a file that takes more than `limit` bytes of space, down to half of it.
pub(crate) fn bound(path: &Path, limit: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let facts = file.metadata()?;
    if facts.blocks() * 512 <= limit.max(2 * BLOCK) {
        return Ok(());
    }
    let end = facts.len().saturating_sub(limit / 2) / BLOCK * BLOCK;
    if end == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&file, flags, 0, end) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            file.set_len(0)?;
            file.set_len(facts.len())
        }
        result => Ok(result?),
    }
}

/// The last `limit` bytes of a file.
pub(crate) fn tail(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Keeps files within their bounds (each with its limit in bytes) until it is dropped.
pub(crate) async fn keep_bounded(files: &[(PathBuf, u64)]) -> io::Result<()> {
    let notes =
        super::ready::ready(inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?)?;
    for (path, _) in files {
        inotify::add_watch(notes.get_ref(), path, inotify::WatchFlags::MODIFY)?;
    }
    loop {
        for (path, limit) in files {
            bound(path, *limit)?;
        }
        notes.readable().await?.clear_ready();
        drain(notes.get_ref());
        tokio::time::sleep(REST).await;
    }
}

fn drain(notes: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(notes, &mut space);
    while reader.next().is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_part_goes_and_offsets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| u8::try_from(i % 250).unwrap() + 1).collect();
        std::fs::write(&path, &bytes).unwrap();
        bound(&path, 2_000_000).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        bound(&path, 100_000).unwrap();
        let after = std::fs::read(&path).unwrap();
        assert_eq!(after.len(), bytes.len());
        assert_eq!(after[950_000..], bytes[950_000..]);
        assert!(after[..900_000].iter().all(|&byte| byte == 0));
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 <= 100_000);
    }
}
