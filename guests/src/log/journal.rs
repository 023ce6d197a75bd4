//! The output of the journal follower (`journal.sh`) as records.
//!
//! The journal's export format is binary-safe: an entry is lines `FIELD=text`, or `FIELD`, a little-endian 64-bit length
//! and that many bytes, and ends with an empty line. An entry becomes a record for each line of its message. A record's
//! cursor is the entry's own and the number of its records told; the follower begins with that entry again and the
//! records that were told are left out.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::stream::Decoder;
use super::{Cursor, MAX_TEXT_BYTES, Record};
use crate::{Error, Result};

/// How much of a field is kept in bytes; the rest of a longer one is passed over and said to be cut.
const MAX_FIELD: usize = 256 * 1024;
/// The most lines of one message; the rest of a longer one is left out and said to be.
const MAX_LINES: usize = 4096;
/// The longest cursor in bytes.
const MAX_CURSOR: usize = 512;

/// What the decoder is within.
#[derive(Debug)]
enum State {
    /// The follower's own first line.
    Greeting,
    /// A line of an entry.
    Line,
    /// The length of a binary field.
    Length,
    /// A binary field, with so many bytes to come.
    Data(u64),
    /// The line feed after a binary field.
    DataEnd,
}

/// The fields of an entry that matter.
#[derive(Debug, Default)]
struct Entry {
    cursor: String,
    at: Option<SystemTime>,
    message: Option<Vec<u8>>,
    identifier: Option<Vec<u8>>,
    command: Option<Vec<u8>>,
    pid: Option<Vec<u8>>,
    cut: u64,
}

/// Decodes what `journal.sh` prints.
#[derive(Debug)]
pub(super) struct JournalDecoder {
    /// Whether each line begins with who logged it.
    named: bool,
    /// The entry and the number of its records to leave out.
    resume: Option<(String, usize)>,
    raw: VecDeque<u8>,
    state: State,
    field: Vec<u8>,
    name: Vec<u8>,
    /// Bytes of this field that were passed over.
    cut: u64,
    entry: Entry,
    ready: VecDeque<Record>,
}

impl JournalDecoder {
    /// A decoder, and the journal's cursor that the script begins with.
    pub(super) fn resuming(named: bool, from: Option<&Cursor>) -> Result<(String, Self)> {
        let resume = from.map(parse).transpose()?;
        let cursor = resume.as_ref().map(|(cursor, _)| cursor.clone()).unwrap_or_default();
        let decoder = Self {
            named,
            resume,
            raw: VecDeque::new(),
            state: State::Greeting,
            field: Vec::new(),
            name: Vec::new(),
            cut: 0,
            entry: Entry::default(),
            ready: VecDeque::new(),
        };
        Ok((cursor, decoder))
    }

    fn keep(&mut self, byte: u8) {
        if self.field.len() < MAX_FIELD {
            self.field.push(byte);
        } else {
            self.cut += 1;
        }
    }

    /// Takes one byte; true when an entry is complete.
    fn step(&mut self, byte: u8) -> Result<bool> {
        match self.state {
            State::Greeting if byte == b'\n' => {
                let greeting = std::mem::take(&mut self.field);
                match &greeting[..] {
                    b"fresh" | b"found" => {}
                    b"lost" => self.lost(),
                    other => {
                        let other = String::from_utf8_lossy(&other[..other.len().min(80)]).into_owned();
                        return Err(Error::Malformed(format!("greeting {other:?}")));
                    }
                }
                self.state = State::Line;
            }
            State::Line if byte == b'\n' => {
                if self.field.is_empty() {
                    return Ok(true);
                }
                let line = std::mem::take(&mut self.field);
                if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
                    self.name = line[..equals].to_vec();
                    self.assign(line[equals + 1..].to_vec())?;
                } else {
                    self.name = line;
                    self.state = State::Length;
                }
            }
            State::Greeting | State::Line => self.keep(byte),
            State::Length => {
                self.field.push(byte);
                if let Ok(length) = <[u8; 8]>::try_from(&self.field[..]) {
                    self.field.clear();
                    let length = u64::from_le_bytes(length);
                    self.state = if length == 0 { State::DataEnd } else { State::Data(length) };
                }
            }
            State::Data(left) => {
                self.keep(byte);
                self.state = if left == 1 { State::DataEnd } else { State::Data(left - 1) };
            }
            State::DataEnd => {
                if byte != b'\n' {
                    return Err(Error::Malformed("a journal field does not end with its length".into()));
                }
                self.state = State::Line;
                let value = std::mem::take(&mut self.field);
                self.assign(value)?;
            }
        }
        Ok(false)
    }

    /// The cursor is not known any more: all that there is follows.
    fn lost(&mut self) {
        if let Some((cursor, told)) = self.resume.take() {
            self.ready.push_back(Record {
                at: SystemTime::now(),
                text: b"the place in the guest's journal is lost (vacuumed or replaced); going on with its oldest lines"
                    .to_vec(),
                partial: false,
                notice: true,
                cursor: Cursor(format!("j1:{told}:{cursor}")),
            });
        }
    }

    fn assign(&mut self, value: Vec<u8>) -> Result<()> {
        let cut = std::mem::take(&mut self.cut);
        let entry = &mut self.entry;
        match &self.name[..] {
            b"__CURSOR" => {
                let plain = value.len() <= MAX_CURSOR && value.iter().all(u8::is_ascii_graphic);
                let text = String::from_utf8(value).ok().filter(|_| plain);
                entry.cursor = text.ok_or_else(|| Error::Malformed("journal cursor".into()))?;
            }
            b"__REALTIME_TIMESTAMP" => {
                let micros = String::from_utf8(value).ok().and_then(|text| text.parse().ok());
                entry.at =
                    micros.and_then(|us| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(us)));
            }
            b"MESSAGE" if entry.message.is_none() => (entry.message, entry.cut) = (Some(value), cut),
            b"SYSLOG_IDENTIFIER" if entry.identifier.is_none() => entry.identifier = Some(short(value)),
            b"_COMM" => entry.command = Some(short(value)),
            b"SYSLOG_PID" if entry.pid.is_none() => entry.pid = Some(short(value)),
            b"_PID" => entry.pid = Some(short(value)),
            _ => {}
        }
        Ok(())
    }

    /// Turns the entry into records.
    fn finish(&mut self) -> Result<()> {
        let entry = std::mem::take(&mut self.entry);
        let Some(mut message) = entry.message else { return Ok(()) };
        if entry.cursor.is_empty() {
            return Err(Error::Malformed("a journal entry without a cursor".into()));
        }
        // The first entry after a known cursor is the cursor's own, or its twin in another file.
        let told = self.resume.take().map_or(0, |(_, told)| told);
        if entry.cut > 0 {
            message.extend_from_slice(format!(" [{} more bytes cut]", entry.cut).as_bytes());
        }
        let mut prefix = Vec::new();
        if self.named
            && let Some(name) = entry.identifier.or(entry.command)
        {
            prefix = name;
            if let Some(pid) = entry.pid {
                prefix = [&prefix[..], b"[", &pid, b"]"].concat();
            }
            prefix.extend_from_slice(b": ");
        }
        let at = entry.at.unwrap_or_else(SystemTime::now);
        let lines = message.strip_suffix(b"\n").unwrap_or(&message);
        let mut index = 0;
        for (number, line) in lines.split(|byte| *byte == b'\n').take(MAX_LINES + 1).enumerate() {
            let line = if number < MAX_LINES { line } else { b"[more lines cut]" };
            let line = [&prefix[..], line].concat();
            let mut parts = line.chunks(MAX_TEXT_BYTES).peekable();
            loop {
                let part = parts.next().unwrap_or_default();
                let partial = parts.peek().is_some();
                index += 1;
                if index > told {
                    let cursor = Cursor(format!("j1:{index}:{}", entry.cursor));
                    self.ready.push_back(Record { at, text: part.to_vec(), partial, notice: false, cursor });
                }
                if !partial {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A name or number of a log line's prefix, bounded and in one line.
fn short(mut value: Vec<u8>) -> Vec<u8> {
    value.truncate(128);
    for byte in &mut value {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
    value
}

fn parse(cursor: &Cursor) -> Result<(String, usize)> {
    let bad = || Error::Unsupported(format!("cursor {:?} is not of a journal", cursor.0));
    let (told, journal) =
        cursor.0.strip_prefix("j1:").and_then(|rest| rest.split_once(':')).ok_or_else(bad)?;
    let told = told.parse().map_err(|_| bad())?;
    if journal.is_empty() || journal.len() > MAX_CURSOR || !journal.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad());
    }
    Ok((journal.to_owned(), told))
}

impl Decoder for JournalDecoder {
    fn feed(&mut self, data: &[u8]) {
        self.raw.extend(data);
    }

    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            let Some(byte) = self.raw.pop_front() else { return Ok(None) };
            if self.step(byte)? {
                self.finish()?;
            }
        }
    }
}
