//! The output of the follower of an event log (`ps/events.ps1`) as records.
//!
//! It says `S fresh|found|lost`, then `V ID TIME TEXT` for each record of the log, the text in base64. A record of the log becomes
//! one for each line of its text. A cursor is the log's own number of a record and how many of its lines were told; the follower
//! begins with that record again, and the lines that were told are left out.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::stream::Decoder;
use super::{Cursor, MAX_TEXT_BYTES, Record};
use crate::powershell::decoded;
use crate::{Error, Result};

/// The longest line in bytes: the follower cuts a text after 40,000 characters.
const MAX_LINE: usize = 256 * 1024;
/// The most lines of one record; the rest of a longer one is left out and said to be.
const MAX_LINES: usize = 4096;
/// The latest time that is taken from a guest, in 100 ns since 1970.
const MAX_TIME: u64 = 1 << 58;

/// Decodes what `ps/events.ps1` prints.
#[derive(Debug, Default)]
pub(super) struct EventDecoder {
    raw: Vec<u8>,
    /// The record and the number of its lines to leave out.
    resume: Option<(u64, usize)>,
    greeted: bool,
    ready: VecDeque<Record>,
}

impl EventDecoder {
    /// A decoder, and the record that the follower begins with.
    pub(super) fn resuming(from: Option<&Cursor>) -> Result<(String, Self)> {
        let resume = from.map(parse).transpose()?;
        let first = resume.map(|(record, _)| record.to_string()).unwrap_or_default();
        Ok((first, Self { resume, ..Self::default() }))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let malformed = || Error::Malformed(format!("line {:?}", line.chars().take(80).collect::<String>()));
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["S", place @ ("fresh" | "found" | "lost")] if !self.greeted => {
                self.greeted = true;
                if let ("lost", Some((record, told))) = (place, self.resume) {
                    self.resume = None;
                    self.ready.push_back(Record {
                        at: SystemTime::now(),
                        text: b"the place in the guest's event log is lost (overwritten or cleared); going on with its oldest records"
                            .to_vec(),
                        partial: false,
                        notice: true,
                        cursor: cursor(record, told),
                    });
                }
                Ok(())
            }
            ["V", record, time, text] if self.greeted => {
                let record: u64 = record.parse().map_err(|_| malformed())?;
                let time: u64 = time.parse().ok().filter(|time| *time < MAX_TIME).ok_or_else(malformed)?;
                let text = decoded(text).ok_or_else(malformed)?;
                self.tell(record, time, &text);
                Ok(())
            }
            _ => Err(malformed()),
        }
    }

    fn tell(&mut self, number: u64, time: u64, text: &[u8]) {
        let told = self.resume.take().filter(|(record, _)| *record == number).map_or(0, |(_, told)| told);
        let since = Duration::from_nanos(time.saturating_mul(100));
        let at =
            SystemTime::UNIX_EPOCH.checked_add(since).filter(|_| time > 0).unwrap_or_else(SystemTime::now);
        let mut index = 0;
        let lines = text.trim_ascii_end().split(|byte| *byte == b'\n');
        for (place, line) in lines.take(MAX_LINES + 1).enumerate() {
            let line = if place < MAX_LINES { line } else { b"[more lines cut]" };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut parts = line.chunks(MAX_TEXT_BYTES).peekable();
            loop {
                let part = parts.next().unwrap_or_default();
                let partial = parts.peek().is_some();
                index += 1;
                if index > told {
                    let cursor = cursor(number, index);
                    self.ready.push_back(Record { at, text: part.to_vec(), partial, notice: false, cursor });
                }
                if !partial {
                    break;
                }
            }
        }
    }
}

fn cursor(record: u64, told: usize) -> Cursor {
    Cursor(format!("w1:{told}:{record}"))
}

fn parse(cursor: &Cursor) -> Result<(u64, usize)> {
    let bad = || Error::Unsupported(format!("cursor {:?} is not of an event log", cursor.0));
    let (told, record) =
        cursor.0.strip_prefix("w1:").and_then(|rest| rest.split_once(':')).ok_or_else(bad)?;
    Ok((record.parse().map_err(|_| bad())?, told.parse().map_err(|_| bad())?))
}

impl Decoder for EventDecoder {
    fn feed(&mut self, data: &[u8]) {
        self.raw.extend_from_slice(data);
    }

    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            let Some(end) = self.raw.iter().position(|byte| *byte == b'\n') else {
                if self.raw.len() > MAX_LINE {
                    return Err(Error::Malformed("a line of an event log is too long".into()));
                }
                return Ok(None);
            };
            let line: Vec<u8> = self.raw.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Service Control Manager[7036]: The service\r\n\r\nhas entered` in base64.
    const TEXT: &str = "U2VydmljZSBDb250cm9sIE1hbmFnZXJbNzAzNl06IFRoZSBzZXJ2aWNlDQoNCmhhcyBlbnRlcmVk";

    fn told(from: Option<&str>, text: &str, size: usize) -> Result<Vec<(String, String)>> {
        let from = from.map(|cursor| Cursor(cursor.into()));
        let (_, mut decoder) = EventDecoder::resuming(from.as_ref())?;
        let mut told = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            decoder.feed(piece);
            while let Some(Record { text, cursor, .. }) = decoder.next()? {
                told.push((String::from_utf8(text).unwrap(), cursor.0));
            }
        }
        Ok(told)
    }

    #[test]
    fn a_record_is_told_line_by_line() {
        let text = format!("S fresh\nV 7 17000000000000000 {TEXT}\nV 9 17000000000000000 Yg==\n");
        let wanted = [
            ("Service Control Manager[7036]: The service", "w1:1:7"),
            ("", "w1:2:7"),
            ("has entered", "w1:3:7"),
            ("b", "w1:1:9"),
        ]
        .map(|(text, cursor)| (text.to_owned(), cursor.to_owned()));
        for size in [1, 7, 1000] {
            assert_eq!(told(None, &text, size).unwrap(), wanted);
        }
        // Resumed within the record, the lines that were told are left out.
        let text = text.replace("fresh", "found");
        assert_eq!(told(Some("w1:2:7"), &text, 1000).unwrap(), wanted[2..]);
    }

    #[test]
    fn a_record_of_too_many_lines_is_cut() {
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "x\n".repeat(9_000));
        let told = told(None, &format!("S fresh\nV 7 0 {text}\n"), 1000).unwrap();
        assert_eq!(told.len(), MAX_LINES + 1);
        assert_eq!(told[MAX_LINES].0, "[more lines cut]");
    }

    #[test]
    fn a_lost_place_is_told() {
        let told = told(Some("w1:2:7"), "S lost\nV 100 0 YQ==\n", 1000).unwrap();
        assert!(told[0].0.contains("is lost") && told[0].1 == "w1:2:7", "{told:?}");
        assert_eq!(told[1], ("a".to_owned(), "w1:1:100".to_owned()));
    }

    #[test]
    fn a_hostile_follower_is_an_error() {
        let long = "x".repeat(MAX_LINE + 1);
        for bad in
            ["V 1 0 YQ==\n", "S fresh\nV x 0 YQ==\n", "S fresh\nV 1 0 ?\n", "S fresh\nS fresh\n", &long]
        {
            told(None, bad, 1000).unwrap_err();
        }
        for bad in ["w1:1", "w1:x:1", "f1:1:2", "w1:1:-1"] {
            assert!(EventDecoder::resuming(Some(&Cursor(bad.into()))).is_err(), "{bad}");
        }
    }
}
