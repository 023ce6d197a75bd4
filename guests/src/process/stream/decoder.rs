//! What the follower prints, taken apart. Pure: however it arrives, the same is told.

use bytes::{Buf, Bytes, BytesMut};
use transports::Stream;

use super::super::control;
use super::super::spec::ProcessId;
use super::Event;
use super::offset::{Offset, Places, place};
use crate::{Error, Family, Result};

/// The longest control line in bytes.
const MAX_CONTROL: usize = 128;
/// The largest frame that the follower sends in bytes.
const MAX_FRAME: usize = 128 * 1024;

/// Decodes what the follower prints.
#[derive(Debug)]
pub(super) struct Decoder {
    family: Family,
    id: ProcessId,
    /// What arrived and is not decoded yet: less than a control line and a frame.
    pub(super) raw: BytesMut,
    /// Whether the follower has said where it begins.
    pub(super) begun: bool,
    places: Places,
}

impl Decoder {
    pub(super) fn new(family: Family, id: ProcessId, places: Places) -> Self {
        Self { family, id, raw: BytesMut::new(), begun: false, places }
    }

    /// The next event of what arrived; `None` when more is needed.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(end) = self.raw.iter().take(MAX_CONTROL).position(|byte| *byte == b'\n') else {
                if self.raw.len() >= MAX_CONTROL {
                    return Err(Error::Malformed("control line too long".into()));
                }
                return Ok(None);
            };
            let line = String::from_utf8_lossy(&self.raw[..end]).into_owned();
            let malformed = || Error::Malformed(format!("control line {line:?}"));
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["A"] => return Err(Error::Ended(format!("the guest has no process {}", self.id))),
                ["S", stdout, stderr] => {
                    let stdout = place(stdout).ok_or_else(malformed)?;
                    let stderr = place(stderr).ok_or_else(malformed)?;
                    (self.places, self.begun) = (Places { stdout, stderr }, true);
                    self.raw.advance(end + 1);
                }
                ["X", ..] => {
                    let (exit, length) = control::exit(self.family, &words[1..]).ok_or_else(malformed)?;
                    let message = self.take(end + 1, length);
                    return Ok(message.map(|text| Event::Exited(control::with_message(exit, &text))));
                }
                [name @ ("o" | "e"), at, length] => {
                    let at = place(at).ok_or_else(malformed)?;
                    let length: usize = length.parse().map_err(|_| malformed())?;
                    let stream = if name == "o" { Stream::Stdout } else { Stream::Stderr };
                    let told = self.places.of(stream);
                    // Forwards only: nothing is told twice.
                    if length == 0 || length > MAX_FRAME || at < *told {
                        return Err(Error::Malformed(format!("frame {line:?} is out of place")));
                    }
                    let Some(data) = self.take(end + 1, length) else { return Ok(None) };
                    *self.places.of(stream) = at + length as u64;
                    return Ok(Some(Event::Output { stream, data, next: Offset::at(self.places) }));
                }
                _ => return Err(malformed()),
            }
        }
    }

    /// Takes `length` bytes after `skip`, once they are there.
    fn take(&mut self, skip: usize, length: usize) -> Option<Bytes> {
        if self.raw.len() < skip + length {
            return None;
        }
        self.raw.advance(skip);
        Some(self.raw.split_to(length).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Decoder {
        Decoder::new(Family::Unix, ProcessId::new("a").unwrap(), Places::default())
    }

    /// What is told of `text` that arrives in pieces of `size` bytes.
    fn told(text: &[u8], size: usize) -> Result<Vec<Event>> {
        let mut decoder = decoder();
        let mut events = Vec::new();
        for piece in text.chunks(size) {
            decoder.raw.extend_from_slice(piece);
            while let Some(event) = decoder.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn frames_are_told_however_they_arrive() {
        let text = b"S 5 0\no 5 4\na\nb\ne 0 1\n!o 20 1\ncX 3 0 1700000000 3\nbye";
        let output = |stream, data: &'static [u8], next: &str| Event::Output {
            stream,
            data: Bytes::from_static(data),
            next: Offset(next.into()),
        };
        for size in [1, 2, 7, 1000] {
            let events = told(text, size).unwrap();
            assert_eq!(events[0], output(Stream::Stdout, b"a\nb\n", "p1:9:0"));
            assert_eq!(events[1], output(Stream::Stderr, b"!", "p1:9:1"));
            // Released by somebody else in between.
            assert_eq!(events[2], output(Stream::Stdout, b"c", "p1:21:1"));
            assert!(matches!(&events[3], Event::Exited(exit) if exit.code == 3 && exit.message == "bye"));
        }
    }

    #[test]
    fn a_hostile_follower_is_an_error() {
        let long = "x".repeat(MAX_CONTROL);
        for bad in [
            "o 0 0\n",
            "o 0 131073\n",
            "o -1 1\n",
            "o 1000000000000000 1\n",
            "S 5 0\no 4 1\nx",
            "S 5\n",
            "A\n",
            "X 0 0 0 5000\n",
            "hello\n",
            &long,
        ] {
            told(bad.as_bytes(), 3).unwrap_err();
        }
    }
}
