//! The log of a process in the guest: its two output streams, in the file that the kubelet reads.
//!
//! ```text
//!   stdout --+-- known? (surplus) --> lines, parts of long ones --+--> format --> file
//!   stderr --+                                                    \
//!                                                                  checkpoint (offset, held bytes, inode, size)
//! ```
//!
//! Happy path: [`ProcessLog::open`] (the file exists when it returns), [`ProcessLog::feed`] with what the guest told,
//! [`ProcessLog::save`] now and then, whose answer says up to where the guest may forget, and [`ProcessLog::close`]
//! after the last output. A line is written when it is whole, or in parts where it is too long.
//!
//! Failure paths: a daemon that dies goes on from its checkpoint. What was written after it is counted for each stream,
//! and exactly so many bytes are left out when the guest tells them again: no line is lost, none comes twice. A full disk
//! is an error of [`ProcessLog::feed`], which keeps what it could not write: feeding nothing tries it again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use guests::process::Offset;
use serde::{Deserialize, Serialize};
use transports::Stream;

use super::checkpoint::{self, load, store};
use super::error::{Error, Result};
use super::file::LogFile;
use super::format::{MAX_TEXT_BYTES, Voice, line};
use super::surplus::payload;

/// What the sidecar file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// Up to here the guest's output was taken; `None`: nothing of it.
    offset: Option<Offset>,
    /// What was taken and is not in the file: the beginning of a line of each stream.
    held: [Vec<u8>; 2],
    /// How many bytes of each stream beyond that the file has already at that size.
    known: [u64; 2],
    /// The log file's inode.
    inode: u64,
    /// The log file's size in bytes.
    size: u64,
}

/// One stream on its way into the file.
#[derive(Debug, Default)]
struct Side {
    /// The beginning of a line. Its lines are split off without copying what is after them.
    held: BytesMut,
    /// How many bytes the file has already that come again.
    known: u64,
}

impl Side {
    /// Takes what the guest told, but for what the file has already.
    fn take(&mut self, data: &[u8]) {
        let known = data.len().min(usize::try_from(self.known).unwrap_or(usize::MAX));
        self.known -= known as u64;
        self.held.extend_from_slice(&data[known..]);
    }

    /// The next whole line, or a part of one that is too long.
    fn next(&mut self) -> Option<(BytesMut, bool)> {
        let window = &self.held[..self.held.len().min(MAX_TEXT_BYTES + 1)];
        if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
            let mut text = self.held.split_to(end + 1);
            text.truncate(end);
            return Some((text, false));
        }
        (window.len() > MAX_TEXT_BYTES).then(|| (self.held.split_to(MAX_TEXT_BYTES), true))
    }
}

/// The log of a process being written.
#[derive(Debug)]
pub struct ProcessLog {
    /// None for a container without a log: its output is taken and forgotten.
    file: Option<LogFile>,
    checkpoint: PathBuf,
    offset: Option<Offset>,
    sides: [Side; 2],
    /// Lines that are not in the file yet, for the disk is full.
    waiting: VecDeque<Vec<u8>>,
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn voice(side: usize) -> Voice {
    if side == 0 { Voice::Guest } else { Voice::GuestError }
}

impl ProcessLog {
    /// Opens the log, and goes on from its checkpoint if it has one. Blocks on the disk.
    pub fn open(log_path: Option<PathBuf>, checkpoint: PathBuf) -> Result<Self> {
        let kept: Option<Checkpoint> = load(&checkpoint)?;
        let mut log = Self {
            file: None,
            checkpoint,
            offset: None,
            sides: Default::default(),
            waiting: VecDeque::new(),
        };
        if let Some(kept) = kept {
            let file = log_path.as_deref().and_then(|path| checkpoint::find(path, kept.inode, kept.size));
            let more = file.and_then(|file| payload(&file, kept.size).ok()).unwrap_or_default();
            log.offset = kept.offset;
            for (index, side) in log.sides.iter_mut().enumerate() {
                side.known = kept.known[index] + more[index];
                side.take(&kept.held[index]);
            }
        }
        log.file = log_path.map(LogFile::open).transpose()?;
        log.save()?;
        Ok(log)
    }

    /// Right after what was taken so far: where to go on.
    pub fn offset(&self) -> Option<Offset> {
        self.offset.clone()
    }

    /// Takes a piece of output, and writes what is whole of it. `next` is right after the piece.
    pub fn feed(&mut self, at: SystemTime, stream: Stream, data: &Bytes, next: Offset) -> Result<()> {
        let side = index(stream);
        self.sides[side].take(data);
        self.offset = Some(next);
        while let Some((text, partial)) = self.sides[side].next() {
            self.waiting.push_back(line(at, voice(side), partial, &text));
        }
        self.flush()
    }

    /// Writes what could not be written before.
    pub fn flush(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else {
            self.waiting.clear();
            return Ok(());
        };
        while let Some(line) = self.waiting.front() {
            file.write(line).map_err(|source| Error::file("write to", file.path())(source))?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Opens the file again after the kubelet has renamed it.
    pub fn reopen(&mut self) -> Result<()> {
        // What waits for room belongs to the old file, or the checkpoint could not name the new one.
        self.flush()?;
        if let Some(file) = &mut self.file {
            file.reopen()?;
        }
        // Before the first line of the new file: whoever comes next must know which file it is.
        self.save().map(drop)
    }

    /// Stores the checkpoint; answers up to where the guest may forget.
    pub fn save(&mut self) -> Result<Option<Offset>> {
        if !self.waiting.is_empty() {
            return Ok(None);
        }
        let Some(file) = &self.file else { return Ok(self.offset.clone()) };
        let held = self.sides.each_ref().map(|side| side.held.to_vec());
        let known = self.sides.each_ref().map(|side| side.known);
        let (inode, size) = (file.inode()?, file.size());
        let checkpoint = Checkpoint { offset: self.offset.clone(), held, known, inode, size };
        store(&self.checkpoint, &checkpoint)?;
        Ok(self.offset.clone())
    }

    /// Writes the rest of both streams: lines that will have no end.
    pub fn close(&mut self, at: SystemTime) -> Result<()> {
        for side in 0..self.sides.len() {
            let rest = std::mem::take(&mut self.sides[side].held);
            if !rest.is_empty() {
                self.waiting.push_back(line(at, voice(side), false, &rest));
            }
        }
        self.flush()?;
        self.save().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::format::parts;

    /// Feeds `pieces` from the place where the log is; each piece's end is its number.
    fn feed_from(log: &mut ProcessLog, pieces: &[(Stream, &[u8])]) {
        let from = log.offset().map_or(0, |offset| offset.0.parse().unwrap());
        for (index, (stream, data)) in pieces.iter().enumerate().skip(from) {
            let next = Offset((index + 1).to_string());
            log.feed(SystemTime::now(), *stream, &Bytes::copy_from_slice(data), next).unwrap();
        }
    }

    /// What the log holds of a stream, put together again.
    fn told(path: &std::path::Path, wanted: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for line in std::fs::read(path).unwrap().split_inclusive(|byte| *byte == b'\n') {
            let (side, words, partial) = parts(line).unwrap();
            if side == wanted {
                text.extend_from_slice(words);
                text.extend_from_slice(if partial { b"" } else { b"\n" });
            }
        }
        text
    }

    #[test]
    fn killed_anywhere_every_byte_comes_once() {
        let wide = vec![b'x'; MAX_TEXT_BYTES + 7];
        let pieces: [(Stream, &[u8]); 7] = [
            (Stream::Stdout, b"one\ntw"),
            (Stream::Stderr, b"bad"),
            (Stream::Stdout, b"o\n"),
            (Stream::Stdout, &wide),
            (Stream::Stderr, b" luck\n\n"),
            (Stream::Stdout, b"\nfour"),
            (Stream::Stderr, b"end\n"),
        ];
        for saved in 0..=pieces.len() {
            for killed in saved..=pieces.len() {
                let folder = tempfile::tempdir().unwrap();
                let (path, kept) = (folder.path().join("0.log"), folder.path().join("kept"));
                let mut log = ProcessLog::open(Some(path.clone()), kept.clone()).unwrap();
                feed_from(&mut log, &pieces[..saved]);
                log.save().unwrap();
                feed_from(&mut log, &pieces[..killed]);
                drop(log);
                // The next one dies before anything was told again.
                drop(ProcessLog::open(Some(path.clone()), kept.clone()).unwrap());
                let mut log = ProcessLog::open(Some(path.clone()), kept).unwrap();
                feed_from(&mut log, &pieces);
                log.close(SystemTime::now()).unwrap();
                let stdout = [b"one\ntwo\n", &wide[..], b"\nfour\n"].concat();
                assert_eq!(told(&path, 0), stdout, "saved after {saved}, killed after {killed}");
                assert_eq!(
                    told(&path, 1),
                    b"bad luck\n\nend\n",
                    "saved after {saved}, killed after {killed}"
                );
            }
        }
    }

    #[test]
    fn a_rotated_log_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let (path, kept) = (folder.path().join("0.log"), folder.path().join("kept"));
        let pieces: [(Stream, &[u8]); 3] =
            [(Stream::Stdout, b"a\n"), (Stream::Stdout, b"b\n"), (Stream::Stdout, b"c\n")];
        let mut log = ProcessLog::open(Some(path.clone()), kept.clone()).unwrap();
        feed_from(&mut log, &pieces[..1]);
        log.save().unwrap();
        feed_from(&mut log, &pieces[..2]);
        let rotated = folder.path().join("0.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        drop(log);
        let mut log = ProcessLog::open(Some(path.clone()), kept).unwrap();
        feed_from(&mut log, &pieces);
        assert_eq!((told(&rotated, 0), told(&path, 0)), (b"a\nb\n".to_vec(), b"c\n".to_vec()));
    }

    #[test]
    fn without_a_log_output_is_taken_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = ProcessLog::open(None, folder.path().join("kept")).unwrap();
        feed_from(&mut log, &[(Stream::Stdout, b"a\nb")]);
        assert_eq!(log.save().unwrap(), Some(Offset("1".into())));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
