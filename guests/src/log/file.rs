//! The output of the file follower (`file.sh`) as records.
//!
//! The script frames what it sends, so each byte's file and offset are known: `F inode offset c|n`, `K length checksum`,
//! `D offset n` + n bytes + `E m`. A record's cursor is the inode, the offset right after its line, and a checksum of the
//! file's first bytes, against an inode that was used again. On Windows `ps/file.ps1` does the same.

use std::time::SystemTime;

use super::stream::Decoder;
use super::{Cursor, MAX_TEXT_BYTES, Record};
use crate::{Error, Family, Result};

/// The longest control line in bytes.
const MAX_CONTROL: usize = 128;
/// The largest frame that the script sends in bytes.
const MAX_FRAME: usize = 256 * 1024;

/// Inode, offset, and the length and checksum of the first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Place {
    inode: u64,
    offset: u64,
    length: u64,
    /// As the guest's tool prints it; empty where nothing is known.
    checksum: String,
}

impl Place {
    fn cursor(&self) -> Cursor {
        let Self { inode, offset, length, checksum } = self;
        Cursor(format!("f1:{inode}:{offset}:{length}:{checksum}"))
    }

    fn parse(cursor: &Cursor) -> Result<Self> {
        let bad = || Error::Unsupported(format!("cursor {:?} is not of a log file", cursor.0));
        let fields: Vec<&str> = cursor.0.split(':').collect();
        let ["f1", inode, offset, length, checksum] = fields[..] else { return Err(bad()) };
        let parse = |field: &str| field.parse::<u64>().map_err(|_| bad());
        let checksum = token(checksum).ok_or_else(bad)?;
        Ok(Self { inode: parse(inode)?, offset: parse(offset)?, length: parse(length)?, checksum })
    }
}

/// A checksum: nothing but a few letters and digits.
fn token(text: &str) -> Option<String> {
    (text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| text.to_owned())
}

/// Decodes what `file.sh` prints.
#[derive(Debug, Default)]
pub(super) struct FileDecoder {
    path: String,
    /// Whether a carriage return at the end of a line belongs to its end.
    returns: bool,
    /// What arrived and is not decoded yet: less than a control line or a frame.
    raw: Vec<u8>,
    /// Content of the file that is not told yet, from `place.offset` on.
    text: Vec<u8>,
    /// How much of `text` is known to hold no line feed.
    scanned: usize,
    /// Where the first byte of `text` is.
    place: Place,
    /// The last record was a part of a line.
    within_line: bool,
}

impl FileDecoder {
    /// A decoder, and the arguments that make the script resume right after `from`.
    pub(super) fn resuming(path: &str, family: Family, from: Option<&Cursor>) -> Result<([String; 4], Self)> {
        let place = from.map(Place::parse).transpose()?;
        let returns = family == Family::Windows;
        let mut arguments: [String; 4] = Default::default();
        if let Some(Place { inode, offset, length, checksum }) = &place {
            arguments = [inode.to_string(), offset.to_string(), length.to_string(), checksum.clone()];
        }
        Ok((
            arguments,
            Self { path: path.into(), returns, place: place.unwrap_or_default(), ..Self::default() },
        ))
    }

    /// Tells the first `size` bytes of the text; `skip` more are a line end.
    fn tell(&mut self, size: usize, skip: usize, partial: bool) -> Record {
        let mut text = self.text[..size].to_vec();
        if self.returns && skip > 0 && text.last() == Some(&b'\r') {
            text.pop();
        }
        self.text.drain(..size + skip);
        self.scanned = 0;
        self.place.offset += (size + skip) as u64;
        self.within_line = partial;
        Record { at: SystemTime::now(), text, partial, notice: false, cursor: self.place.cursor() }
    }

    fn notice(&self, text: String) -> Record {
        let cursor = self.place.cursor();
        Record { at: SystemTime::now(), text: text.into_bytes(), partial: false, notice: true, cursor }
    }

    /// The next whole line, or part of one that is too long.
    fn line(&mut self) -> Option<Record> {
        let window = &self.text[..self.text.len().min(MAX_TEXT_BYTES + 1)];
        if let Some(end) = window[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + end;
            return Some(self.tell(end, 1, false));
        }
        self.scanned = window.len();
        (window.len() > MAX_TEXT_BYTES).then(|| self.tell(MAX_TEXT_BYTES, 0, true))
    }

    /// The file ended within a line: tells the rest as its end.
    fn end_line(&mut self) -> Option<Record> {
        (self.within_line || !self.text.is_empty()).then(|| self.tell(self.text.len(), 0, false))
    }

    /// The control line at the beginning of `raw`, and its size with the line feed.
    fn control(&self, at: usize) -> Result<Option<(String, usize)>> {
        let rest = &self.raw[at..];
        let Some(end) = rest.iter().take(MAX_CONTROL).position(|byte| *byte == b'\n') else {
            if rest.len() >= MAX_CONTROL {
                return Err(Error::Malformed("control line too long".into()));
            }
            return Ok(None);
        };
        Ok(Some((String::from_utf8_lossy(&rest[..end]).into_owned(), end + 1)))
    }
}

fn number(field: Option<&str>) -> Result<u64> {
    field
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| Error::Malformed(format!("{field:?} is not a number")))
}

impl Decoder for FileDecoder {
    fn feed(&mut self, data: &[u8]) {
        self.raw.extend_from_slice(data);
    }

    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(record) = self.line() {
                return Ok(Some(record));
            }
            let Some((line, size)) = self.control(0)? else { return Ok(None) };
            let mut fields = line.split(' ');
            match fields.next() {
                Some("D") => {
                    let (offset, length) = (number(fields.next())?, number(fields.next())?);
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > MAX_FRAME || offset != self.place.offset + self.text.len() as u64 {
                        return Err(Error::Malformed(format!("frame {line:?} is out of place")));
                    }
                    if self.raw.len() < size + length {
                        return Ok(None);
                    }
                    let Some((trailer, trailer_size)) = self.control(size + length)? else { return Ok(None) };
                    let used = number(trailer.strip_prefix("E "))?;
                    let used = usize::try_from(used).unwrap_or(usize::MAX).min(length);
                    self.text.extend_from_slice(&self.raw[size..size + used]);
                    self.raw.drain(..size + length + trailer_size);
                }
                Some("F") => {
                    let (inode, offset) = (number(fields.next())?, number(fields.next())?);
                    if fields.next() == Some("c") {
                        if offset != self.place.offset + self.text.len() as u64 {
                            return Err(Error::Malformed(format!("{line:?} does not continue")));
                        }
                        self.place.inode = inode;
                    } else {
                        if let Some(record) = self.end_line() {
                            return Ok(Some(record));
                        }
                        self.place = Place { inode, offset, ..Place::default() };
                    }
                    self.raw.drain(..size);
                }
                Some("K") => {
                    self.place.length = number(fields.next())?;
                    self.place.checksum = fields
                        .next()
                        .and_then(token)
                        .ok_or_else(|| Error::Malformed(format!("control line {line:?}")))?;
                    self.raw.drain(..size);
                }
                Some("L") => {
                    if let Some(record) = self.end_line() {
                        return Ok(Some(record));
                    }
                    self.raw.drain(..size);
                    return Ok(Some(self.notice(format!(
                        "the place in {} is lost (rotated away); going on with the oldest lines there are",
                        self.path
                    ))));
                }
                Some("A") => {
                    self.raw.drain(..size);
                    return Ok(Some(
                        self.notice(format!("waiting for {}: absent or unreadable in the guest", self.path)),
                    ));
                }
                _ => return Err(Error::Malformed(format!("control line {line:?}"))),
            }
        }
    }

    fn unfinished(&mut self) -> Option<Record> {
        (!self.text.is_empty()).then(|| self.tell(self.text.len(), 0, true))
    }
}
