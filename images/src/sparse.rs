//! Writing a file with holes where the content is zero.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustix::fs::seek;
use rustix::io::Errno;

/// The unit in which zeros are looked for, in bytes: a block of the common file systems.
const BLOCK: usize = 4096;

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * BLOCK;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Copies `length` bytes into an empty file, leaving holes for blocks of zeros. Fails with `UnexpectedEof` where the
/// content is shorter.
pub(crate) fn copy(content: &mut impl Read, file: &mut File, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut buffer[..wanted];
        content.read_exact(chunk)?;
        for block in chunk.chunks(BLOCK) {
            if block == &ZEROS[..block.len()] {
                file.seek(SeekFrom::Current(block.len().try_into().unwrap_or(0)))?;
            } else {
                file.write_all(block)?;
            }
        }
        left -= wanted as u64;
    }
    file.set_len(length)
}

/// Copies the first content at `at` or behind it to the same place of another file, at most `most` bytes and not beyond
/// `end`. Returns where to go on, or none where there is nothing but holes.
pub(crate) fn copy_next(from: &File, to: &File, at: u64, most: u64, end: u64) -> io::Result<Option<u64>> {
    let start = match seek(from, rustix::fs::SeekFrom::Data(at)) {
        Ok(start) if start < end => start,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let hole = seek(from, rustix::fs::SeekFrom::Hole(start))?;
    let stop = hole.min(start.saturating_add(most)).min(end);
    let (mut from, mut to) = (from, to);
    from.seek(SeekFrom::Start(start))?;
    to.seek(SeekFrom::Start(start))?;
    io::copy(&mut from.take(stop - start), &mut to)?;
    Ok(Some(stop))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn holes_for_zeros_and_the_same_content() {
        let mut content = vec![0; 8 << 20];
        content[5_000_000] = 7;
        content.extend([1, 2, 3, 0, 0]);
        let mut file = tempfile::tempfile().unwrap();
        copy(&mut content.as_slice(), &mut file, content.len() as u64).unwrap();
        let mut back = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut back).unwrap();
        assert!(back == content);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn a_file_is_copied_part_by_part_with_its_holes() {
        let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let length = 64 << 20;
        from.set_len(length).unwrap();
        to.set_len(length).unwrap();
        for place in [0, 10_000_000, 50_000_000] {
            from.seek(SeekFrom::Start(place)).unwrap();
            from.write_all(&vec![7; 100_000]).unwrap();
        }
        let (mut at, mut parts) = (0, 0);
        while let Some(next) = copy_next(&from, &to, at, 65_536, length).unwrap() {
            assert!(next > at);
            (at, parts) = (next, parts + 1);
        }
        assert!(parts > 3, "{parts}");
        let read = |file: &mut File| {
            let mut content = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut content).unwrap();
            content
        };
        assert!(read(&mut from) == read(&mut to));
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn short_content_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        let error = copy(&mut [1, 2, 3].as_slice(), &mut file, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
