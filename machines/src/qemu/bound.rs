//! Files that a guest can make grow are held to a bound, without their offsets ever shifting.
//!
//! The oldest part is released by punching a hole: it reads as NUL bytes from then on and takes no space, so whoever
//! follows the file by offset loses no place. Where the file system knows no holes, the whole file is released by
//! shrinking it to nothing and growing it back: offsets stay, the kept part is lost too.
//!
//! The files are looked at on a clock and not by inotify, of which a node has few instances. A serial port writes some
//! hundred kilobytes a second, so a file passes its bound by little. A look that fails is logged, and the next one comes.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use tokio::time::MissedTickBehavior;

use crate::MachineId;

const BLOCK: u64 = 4096;
/// From one look to the next.
const TICK: Duration = Duration::from_secs(1);

/// Releases the oldest part of a file that takes more than `limit` bytes of space, down to half of it.
pub(crate) fn bound(path: &Path, limit: u64) -> io::Result<()> {
    let facts = fs::metadata(path)?;
    if facts.blocks() * 512 <= limit.max(2 * BLOCK) {
        return Ok(());
    }
    let file = File::options().write(true).open(path)?;
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
pub(crate) async fn keep_bounded(id: &MachineId, files: Vec<(PathBuf, u64)>) -> Infallible {
    let files = Arc::new(files);
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        clock.tick().await;
        let looked = Arc::clone(&files);
        let looking = tokio::task::spawn_blocking(move || {
            let errors = looked.iter().filter_map(|(path, limit)| match bound(path, *limit) {
                // Not every machine has them all.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Some(format!("{}: {error}", path.display()))
                }
                _ => None,
            });
            errors.collect::<Vec<_>>()
        });
        let errors = looking.await.unwrap_or_else(|error| vec![error.to_string()]);
        if !errors.is_empty() && !complained {
            let errors = errors.join("; ");
            tracing::warn!(machine = %id, errors, "logs of the machine cannot be bounded now");
        }
        complained = !errors.is_empty();
    }
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

    #[tokio::test]
    async fn a_failed_look_is_not_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let (late, log) = (dir.path().join("late"), dir.path().join("log"));
        let id = MachineId::new("m").unwrap();
        let files = vec![(late.clone(), 100_000), (log.clone(), 100_000)];
        let fills_and_waits = async {
            tokio::time::sleep(TICK / 2).await;
            for path in [log, late] {
                std::fs::write(&path, vec![1; 1_000_000]).unwrap();
                let mut clock = tokio::time::interval(TICK / 20);
                while std::fs::metadata(&path).unwrap().blocks() * 512 > 100_000 {
                    clock.tick().await;
                }
            }
        };
        tokio::select! {
            never = keep_bounded(&id, files) => match never {},
            waited = tokio::time::timeout(10 * TICK, fills_and_waits) => waited.unwrap(),
        }
    }
}
