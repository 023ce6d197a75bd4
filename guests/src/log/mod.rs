//! The guest's own log, followed by a cursor.
//!
//! ```text
//!   LogSource + Cursor --follow--> Record, Record, ... (each with the cursor that resumes right after it)
//! ```
//!
//! Happy path: [`follow`] starts a command in the guest and turns its output into [`Record`]s until the session ends.
//! The caller keeps the cursor of the last record that it has written down; after a lost connection or a restart of the
//! daemon it calls again with that cursor, and the next record is the one after it: none lost, none twice.
//!
//! Failure paths: a guest without a journal, or without the file, is waited for where the source may still appear, and
//! told as an error where it cannot. A cursor that the guest no longer knows (the journal was vacuumed, the file was
//! replaced twice) resumes at the oldest that there is, and says so in a record of its own.

mod events;
mod file;
mod journal;
mod stream;

pub use stream::{LogStream, follow};

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::Family;

/// Where a guest keeps the log that its pod shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// The systemd journal, whole or of one unit.
    Journal {
        /// Only this unit.
        unit: Option<String>,
    },
    /// A file, followed through rotation.
    File {
        /// Its absolute path in the guest.
        path: String,
    },
    /// An event log of Windows.
    EventLog {
        /// Its name: `System`, `Application`, `Microsoft-Windows-.../Operational`.
        channel: String,
    },
    /// The serial console: nothing is asked of the guest.
    Console,
}

/// A place in a guest's log. Opaque to everyone but this module; safe to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// The longest text of a [`Record`] in bytes; a longer line arrives in parts of this size.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// One line of the guest's log, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was logged, as the guest says; the time of arrival where it says nothing.
    pub at: SystemTime,
    /// The text. Any bytes but a line feed; bounded in length, a longer line arrives in parts.
    pub text: Vec<u8>,
    /// Whether this is a part of a line that the next record goes on with.
    pub partial: bool,
    /// Whether the text is ours and not the guest's: something that a reader of the log should know.
    pub notice: bool,
    /// Resumes right after this record.
    pub cursor: Cursor,
}

impl LogSource {
    /// Reads `console`, or what a guest of this family has: `journal`, `journal:UNIT` or `file:/PATH`; of Windows
    /// `eventlog:CHANNEL` or `file:C:\PATH`.
    pub fn parse(text: &str, family: Family) -> Result<Self, String> {
        if text == "console" {
            return Ok(Self::Console);
        }
        let split = text.split_once(':');
        match (family, split) {
            (Family::Unix, None) if text == "journal" => Ok(Self::Journal { unit: None }),
            (Family::Unix, Some(("journal", unit))) if !unit.is_empty() => {
                Ok(Self::Journal { unit: Some(unit.to_owned()) })
            }
            (Family::Unix, Some(("file", path))) if path.starts_with('/') => {
                Ok(Self::File { path: path.to_owned() })
            }
            (Family::Windows, Some(("eventlog", channel))) if !channel.is_empty() => {
                Ok(Self::EventLog { channel: channel.to_owned() })
            }
            (Family::Windows, Some(("file", path))) if on_a_drive(path) => {
                Ok(Self::File { path: path.to_owned() })
            }
            (Family::Unix, _) => {
                Err(format!("log source {text:?} is none of journal, journal:UNIT, file:/PATH and console"))
            }
            (Family::Windows, _) => Err(format!(
                "log source {text:?} is none of eventlog:CHANNEL, file:C:\\PATH and console, which a guest with Windows has"
            )),
        }
    }
}

/// Whether a path of Windows begins at the root of a drive.
fn on_a_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'\\', ..] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sources_are_words() {
        let file = LogSource::File { path: "/var/log/x".into() };
        let unit = LogSource::Journal { unit: Some("a.service".into()) };
        let read = |text| LogSource::parse(text, Family::Unix);
        assert_eq!(read("console"), Ok(LogSource::Console));
        assert_eq!(read("journal"), Ok(LogSource::Journal { unit: None }));
        assert_eq!(read("journal:a.service"), Ok(unit));
        assert_eq!(read("file:/var/log/x"), Ok(file));
        for bad in ["", "file:x", "file:", "journal:", "syslog", "console:x", r"file:C:\x"] {
            assert!(read(bad).unwrap_err().contains("is none of"), "{bad}");
        }
        let read = |text| LogSource::parse(text, Family::Windows);
        assert_eq!(read("console"), Ok(LogSource::Console));
        assert_eq!(read("eventlog:System"), Ok(LogSource::EventLog { channel: "System".into() }));
        assert_eq!(read(r"file:D:\x"), Ok(LogSource::File { path: r"D:\x".into() }));
        for bad in ["", "journal", "eventlog:", "file:/x", "file:C:x", r"file:\x"] {
            assert!(read(bad).unwrap_err().contains("Windows has"), "{bad}");
        }
    }
}
