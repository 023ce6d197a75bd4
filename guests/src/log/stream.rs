//! A follower in the guest, and its output as a bounded stream of records.
//!
//! ```text
//!   script in the guest --output--> Decoder (pure) --records--> bounded queue --> LogStream::next
//! ```
//!
//! A task of its own reads the follower, so [`LogStream::next`] may be cancelled at any time. Whoever does not call it
//! slows the follower down and nothing else of the session. Dropping the stream ends the follower in the guest.
//!
//! Failure paths: a lost session, a follower that ended and malformed output end the stream with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use transports::{Command, Exit, Process, Session, Stdin, Stream};

use super::events::EventDecoder;
use super::file::FileDecoder;
use super::journal::JournalDecoder;
use super::{Cursor, LogSource, Record};
use crate::{Error, Family, Result, powershell, script};

/// Records that wait for the reader; each has at most [`super::MAX_TEXT_BYTES`] of text.
const QUEUE: usize = 32;
/// How long an unfinished line waits for its rest before it is told as a part.
const UNFINISHED: Duration = Duration::from_secs(3);
/// How much of the follower's complaints is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;
/// The exit code of a script whose guest lacks what it needs.
const EXIT_UNSUPPORTED: i32 = 69;

const LISTENED: &str = include_str!("ps/listened.ps1");
const FILE: &str = include_str!("ps/file.ps1");
const EVENTS: &str = include_str!("ps/events.ps1");

/// The records of a guest's log, in order.
#[derive(Debug)]
pub struct LogStream {
    records: mpsc::Receiver<Result<Record>>,
    task: JoinHandle<()>,
}

impl LogStream {
    /// The next record. An error is the last thing that it tells. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Record>> {
        self.records.recv().await
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Turns a follower's output into records.
pub(super) trait Decoder: Send + 'static {
    /// Takes what arrived.
    fn feed(&mut self, data: &[u8]);
    /// The next record of what arrived; `None` when more is needed.
    fn next(&mut self) -> Result<Option<Record>>;
    /// The unfinished line, as a part.
    fn unfinished(&mut self) -> Option<Record> {
        None
    }
}

/// Follows `source` from right after `from`, else from the beginning of what the present boot (journal) or the present
/// file has. Returns once the follower runs.
pub async fn follow(
    session: Arc<dyn Session>,
    family: Family,
    source: LogSource,
    from: Option<Cursor>,
) -> Result<LogStream> {
    let mut first = Bytes::new();
    let (command, decoder): (_, Box<dyn Decoder>) = match (family, &source) {
        (Family::Unix, LogSource::Journal { unit }) => {
            let (resume, decoder) = JournalDecoder::resuming(unit.is_none(), from.as_ref())?;
            let arguments = [resume.as_str(), unit.as_deref().unwrap_or_default()];
            (script::privileged(include_str!("journal.sh"), &arguments, Stdin::Piped), Box::new(decoder))
        }
        (Family::Unix, LogSource::File { path }) => {
            if !path.starts_with('/') || path.contains(['\0', '\n']) {
                return Err(Error::Unsupported(format!(
                    "log file {path:?} is not an absolute path in the guest"
                )));
            }
            let (place, decoder) = FileDecoder::resuming(path, family, from.as_ref())?;
            let arguments = [&[path.clone()][..], &place[..]].concat();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            (script::privileged(include_str!("file.sh"), &arguments, Stdin::Piped), Box::new(decoder))
        }
        (_, LogSource::Console) => {
            return Err(Error::Unsupported(
                "the serial console is read on the node, not in the guest".into(),
            ));
        }
        (Family::Windows, LogSource::File { path }) => {
            let (place, decoder) = FileDecoder::resuming(path, family, from.as_ref())?;
            let arguments = [path.as_str()].into_iter().chain(place.iter().map(String::as_str));
            let (command, script) = windows(FILE, &arguments.collect::<Vec<_>>())?;
            first = script;
            (command, Box::new(decoder))
        }
        (Family::Windows, LogSource::EventLog { channel }) => {
            let (resume, decoder) = EventDecoder::resuming(from.as_ref())?;
            let (command, script) = windows(EVENTS, &[channel, &resume])?;
            first = script;
            (command, Box::new(decoder))
        }
        (Family::Windows, LogSource::Journal { .. }) => {
            return Err(
                family.lacks("has no journal", "choose `eventlog:CHANNEL` or a file as its log source")
            );
        }
        (Family::Unix, LogSource::EventLog { .. }) => {
            return Err(family.lacks("has no event log", "choose the journal or a file as its log source"));
        }
    };
    let process = session.stream(command).await?;
    if let (Some(stdin), false) = (&process.stdin, first.is_empty())
        && stdin.send(first).await.is_err()
    {
        return Err(transports::Error::Lost("the session went away".into()).into());
    }
    let (sender, records) = mpsc::channel(QUEUE);
    let task = tokio::spawn(async move {
        let error = read(process, family, decoder, &sender).await;
        drop(session);
        if let Some(error) = error {
            // Nobody may be left to hear it.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(LogStream { records, task })
}

/// The command of a follower in PowerShell, and what its standard input begins with.
fn windows(script: &str, arguments: &[&str]) -> Result<(Command, Bytes)> {
    powershell::piped(&format!("{LISTENED}{script}"), arguments)
}

/// Reads until the follower ends or nobody listens any more (`None`).
async fn read(
    mut process: Process,
    family: Family,
    mut decoder: Box<dyn Decoder>,
    records: &mpsc::Sender<Result<Record>>,
) -> Option<Error> {
    let (mut complaint, mut heard) = (Vec::new(), false);
    loop {
        let output = match tokio::time::timeout(UNFINISHED, process.output.recv()).await {
            Ok(Some(output)) => output,
            Ok(None) => break,
            Err(_) => {
                if let Some(part) = decoder.unfinished() {
                    records.send(Ok(part)).await.ok()?;
                }
                continue;
            }
        };
        match output.stream {
            Stream::Stdout => {
                heard = true;
                decoder.feed(&output.data);
            }
            Stream::Stderr => {
                let room = COMPLAINT_LIMIT - complaint.len();
                complaint.extend_from_slice(&output.data[..output.data.len().min(room)]);
            }
        }
        loop {
            match decoder.next() {
                Ok(Some(record)) => records.send(Ok(record)).await.ok()?,
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().replace(|c: char| c.is_control(), " ");
    Some(match process.exit.await {
        Ok(Exit::Lost(why)) => transports::Error::Lost(why).into(),
        Ok(Exit::Code(EXIT_UNSUPPORTED)) => Error::Unsupported(match family {
            Family::Unix => "the guest has no journal: choose a file or the console as its log source".into(),
            Family::Windows => format!("{complaint}: choose a file or the console as its log source"),
        }),
        Ok(Exit::Code(0)) if family == Family::Windows && !heard => powershell::runs_nothing(&complaint),
        Ok(Exit::Code(code)) => {
            Error::Ended(format!("following the log ended with code {code}: {complaint}"))
        }
        Ok(Exit::Signal(signal)) => Error::Ended(format!("following the log was ended by signal {signal}")),
        Err(_) => transports::Error::Lost("the session went away".into()).into(),
    })
}
