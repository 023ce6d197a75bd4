//! What a log file holds beyond its checkpoint, and leaving exactly that out when it comes again.
//!
//! A checkpoint is written after the lines that it covers, so a daemon that is killed leaves a few lines that no
//! checkpoint knows. They are measured as payload: the bytes of the guest's text, and one for each line end. The source,
//! read again from the checkpoint's cursor, yields the same payload first, however it is cut into parts; that much is
//! dropped and the rest is new.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::format::{MAX_TEXT_BYTES, parts};

/// The longest line that this module writes, with room for its beginning.
const MAX_LINE: u64 = MAX_TEXT_BYTES as u64 + 128;

/// The payload of `path` from `offset` on, in bytes of `stdout` and of `stderr`. A half line at the end is none.
pub(super) fn payload(path: &Path, offset: u64) -> std::io::Result<[u64; 2]> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut file = BufReader::new(file);
    let (mut total, mut line) = ([0; 2], Vec::new());
    loop {
        line.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(total);
        }
        if let Some((stream, text, partial)) = parts(&line) {
            total[stream] += text.len() as u64 + u64::from(!partial);
        }
    }
}

/// Payload that is in the log already.
#[derive(Debug, Default)]
pub(super) struct Surplus(pub(super) u64);

impl Surplus {
    /// What of this record is new: the rest of its text; `None` when nothing is.
    pub(super) fn take<'a>(&mut self, text: &'a [u8], partial: bool) -> Option<&'a [u8]> {
        if self.0 == 0 {
            return Some(text);
        }
        let known = text.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        self.0 -= known as u64;
        let rest = &text[known..];
        if !rest.is_empty() {
            return Some(rest);
        }
        if partial {
            return None;
        }
        if self.0 > 0 {
            self.0 -= 1;
            return None;
        }
        // The text is known, its line end is not.
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{Voice, line};
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn cut_anywhere_the_rest_is_new() {
        // The source's payload, told whole; any prefix of it may have been written, in any parts.
        let source = [(&b"alpha"[..], false), (b"", false), (b"be", true), (b"ta", false), (b"", false)];
        let whole = b"alpha\n\nbeta\n\n";
        for known in 0..=whole.len() {
            let mut surplus = Surplus(known as u64);
            let mut rest = Vec::new();
            for (text, partial) in source {
                if let Some(new) = surplus.take(text, partial) {
                    rest.extend_from_slice(new);
                    if !partial {
                        rest.push(b'\n');
                    }
                }
            }
            assert_eq!([&whole[..known], &rest].concat(), whole, "known {known}");
        }
    }

    #[test]
    fn counts_the_words_of_each_stream() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let now = SystemTime::now();
        let lines = [
            line(now, Voice::Guest, false, b"before"),
            line(now, Voice::Guest, true, b"abc"),
            line(now, Voice::Ours, false, b"ours"),
            line(now, Voice::Guest, false, b""),
            b"2026-01-01T00:00:00Z stdout F half".to_vec(),
        ];
        std::fs::write(&path, lines.concat()).unwrap();
        assert_eq!(payload(&path, lines[0].len() as u64).unwrap(), [4, 5]);
    }
}
