//! The output of a process, as its follower in the guest (`sh/follow.sh`) frames it.
//!
//! ```text
//!   follower --o|e OFFSET N + bytes, X ... + message--> decoder (pure) --bounded queue--> OutputStream::next
//!   follower <--R O E-- OutputStream::release
//! ```
//!
//! - Happy path: the follower says where it begins (`S O E`), and each frame where it stands, so what is told is told once; the exit is the last.
//! - The place is gone, released by another follower: the follower goes on with the oldest that there is.
//! - A lost session, a process that is absent, malformed frames: the stream ends with an error.

mod decoder;
mod offset;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use transports::{Exit, Process, Session, Stdin, Stream};

use super::spec::ProcessId;
use super::{ProcessExit, control, windows};
use crate::{Error, Family, Result};
use decoder::Decoder;
pub use offset::Offset;
use offset::Places;

/// Events that wait for the reader; each holds a frame at most.
const QUEUE: usize = 16;
/// How much of the follower's complaints is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;
/// So many bytes are at least released at once: the guest drops whole segments of twice that.
const RELEASE_BYTES: u64 = 128 * 1024;

/// What a process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It printed.
    Output {
        /// Where.
        stream: Stream,
        /// What.
        data: Bytes,
        /// Resumes right after this.
        next: Offset,
    },
    /// It has ended. Nothing comes after this.
    Exited(ProcessExit),
}

/// The output and the end of a process, in order.
#[derive(Debug)]
pub struct OutputStream {
    events: mpsc::Receiver<Result<Event>>,
    release: mpsc::Sender<Bytes>,
    /// The sum of both places that were last released.
    released: AtomicU64,
    task: JoinHandle<()>,
}

impl OutputStream {
    /// The next event. An exit or an error is the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        self.events.recv().await
    }

    /// What is before `offset` is written down, durably: the guest may drop it. Cheap; to be called for every offset.
    pub fn release(&self, offset: &Offset) {
        let Ok((_, Some(Places { stdout, stderr }))) = offset.parse() else { return };
        let last = self.released.load(Ordering::Relaxed);
        if stdout + stderr < last + RELEASE_BYTES {
            return;
        }
        // Where the queue is full a later call says it.
        if self.release.try_send(Bytes::from(format!("R {stdout} {stderr}\n"))).is_ok() {
            self.released.store(stdout + stderr, Ordering::Relaxed);
        }
    }
}

impl Drop for OutputStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows a process. Returns once the follower runs; from [`Offset::now`] on once it has begun, so that nothing which the process
/// prints afterwards is missed.
pub(super) async fn follow(
    session: Arc<dyn Session>,
    family: Family,
    id: &ProcessId,
    from: Option<Offset>,
) -> Result<OutputStream> {
    let (words, places) = match &from {
        Some(offset) => offset.parse()?,
        None => (["0".to_owned(), "0".to_owned()], Some(Places::default())),
    };
    let words = [words[0].as_str(), words[1].as_str()];
    let (command, first) = match family {
        Family::Unix => {
            (control::command(include_str!("sh/follow.sh"), id, &words, Stdin::Piped), Bytes::new())
        }
        Family::Windows => windows::follower(id, words)?,
    };
    let mut process = session.stream(command).await?;
    let release = process.stdin.take().ok_or_else(|| {
        Error::Session(transports::Error::Invalid("the session gave a command no standard input".into()))
    })?;
    if !first.is_empty() && release.send(first).await.is_err() {
        return Err(transports::Error::Lost("the session went away".into()).into());
    }
    let (sender, events) = mpsc::channel(QUEUE);
    let (begun, begins) = oneshot::channel();
    let decoder = Decoder::new(family, id.clone(), places.unwrap_or_default());
    let task = tokio::spawn(async move {
        let end = read(process, decoder, begun, &sender).await;
        drop(session);
        if let Some(error) = end {
            // Nobody may be left to hear it.
            let _ = sender.send(Err(error)).await;
        }
    });
    let stream = OutputStream { events, release, released: AtomicU64::new(0), task };
    if places.is_none() {
        // Where it never begins, the stream tells why.
        let _ = begins.await;
    }
    Ok(stream)
}

/// Reads until the exit is told or nobody listens any more (`None`). Says when the follower has begun.
async fn read(
    mut process: Process,
    mut decoder: Decoder,
    begun: oneshot::Sender<()>,
    events: &mpsc::Sender<Result<Event>>,
) -> Option<Error> {
    let (mut complaint, mut begun) = (Vec::new(), Some(begun));
    while let Some(output) = process.output.recv().await {
        match output.stream {
            Stream::Stdout => decoder.raw.extend_from_slice(&output.data),
            Stream::Stderr => {
                let room = COMPLAINT_LIMIT - complaint.len();
                complaint.extend_from_slice(&output.data[..output.data.len().min(room)]);
            }
        }
        loop {
            let next = decoder.next();
            if decoder.begun
                && let Some(begun) = begun.take()
            {
                // Nobody waits for it but who has joined.
                let _ = begun.send(());
            }
            match next {
                Ok(Some(event)) => {
                    let last = matches!(event, Event::Exited(_));
                    events.send(Ok(event)).await.ok()?;
                    if last {
                        return None;
                    }
                }
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().replace(|c: char| c.is_control(), " ");
    Some(match process.exit.await {
        Ok(Exit::Lost(why)) => transports::Error::Lost(why).into(),
        Ok(Exit::Code(code)) => {
            Error::Ended(format!("following the process ended with code {code}: {complaint}"))
        }
        Ok(Exit::Signal(signal)) => {
            Error::Ended(format!("following the process was ended by signal {signal}"))
        }
        Err(_) => transports::Error::Lost("the session went away".into()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session whose one command is this.
    #[derive(Debug)]
    struct One(std::sync::Mutex<Option<Process>>);

    #[async_trait::async_trait]
    impl Session for One {
        async fn exec(&self, _: transports::Command) -> transports::Result<Process> {
            Ok(self.0.lock().unwrap().take().unwrap())
        }

        async fn closed(&self) -> transports::Error {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn who_joins_a_process_waits_until_the_follower_has_begun() {
        let (stdin, _input) = mpsc::channel(1);
        let (follower, output) = mpsc::channel(1);
        let (_exit, exit) = oneshot::channel();
        let process = Process { stdin: Some(stdin), output, exit, guard: None };
        let session = Arc::new(One(std::sync::Mutex::new(Some(process))));
        let id = ProcessId::new("a").unwrap();
        let joining = follow(session, Family::Unix, &id, Some(Offset::now()));
        tokio::pin!(joining);
        let moment = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(moment, &mut joining).await.is_err(), "it has not begun");
        let says = |text: &'static [u8]| transports::Output { stream: Stream::Stdout, data: text.into() };
        follower.send(says(b"S 7 0\n")).await.unwrap();
        let mut joined = joining.await.unwrap();
        follower.send(says(b"o 7 1\nx")).await.unwrap();
        assert!(matches!(joined.next().await, Some(Ok(Event::Output { data, .. })) if data == "x"));
    }
}
