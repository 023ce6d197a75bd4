//! The output of a process, as its follower in the guest (`sh/follow.sh`) frames it.
//!
//! ```text
//!   follower --o|e OFFSET N + bytes, X ... + message--> Decoder (pure) --bounded queue--> OutputStream::next
//!   follower <--R O E-- OutputStream::release
//! ```
//!
//! - Happy path: the follower says where it begins (`S O E`), and each frame where it stands, so what is told is told once; the exit is the last.
//! - The place is gone, released by another follower: the follower goes on with the oldest that there is.
//! - A lost session, a process that is absent, malformed frames: the stream ends with an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use transports::{Exit, Process, Session, Stdin, Stream};

use super::spec::ProcessId;
use super::{ProcessExit, control, windows};
use crate::{Error, Family, Result};

/// Events that wait for the reader; each holds at most [`MAX_FRAME`].
const QUEUE: usize = 16;
/// The longest control line in bytes.
const MAX_CONTROL: usize = 128;
/// The largest frame that the follower sends in bytes.
const MAX_FRAME: usize = 128 * 1024;
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

/// A place in both output streams of a process. Opaque to everyone but this module; safe to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset(pub String);

impl Offset {
    /// The end of what there is when the follower begins: for whoever joins a process.
    pub fn now() -> Self {
        Self("p1:-:-".into())
    }

    fn at(places: Places) -> Self {
        Self(format!("p1:{}:{}", places.stdout, places.stderr))
    }

    /// Both places as words for the follower; `None` of them are numbers for [`Offset::now`].
    fn parse(&self) -> Result<([String; 2], Option<Places>)> {
        let bad = || Error::Unsupported(format!("offset {:?} is not of a process", self.0));
        let fields: Vec<&str> = self.0.split(':').collect();
        let ["p1", stdout, stderr] = fields[..] else { return Err(bad()) };
        let words = [stdout.to_owned(), stderr.to_owned()];
        if (stdout, stderr) == ("-", "-") {
            return Ok((words, None));
        }
        let places =
            Places { stdout: place(stdout).ok_or_else(bad)?, stderr: place(stderr).ok_or_else(bad)? };
        Ok((words, Some(places)))
    }
}

/// What names a segment in the guest has room for.
const MAX_PLACE: u64 = 1_000_000_000_000_000;

fn place(word: &str) -> Option<u64> {
    word.parse().ok().filter(|place| *place < MAX_PLACE)
}

/// How far both streams are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Places {
    stdout: u64,
    stderr: u64,
}

impl Places {
    fn of(&mut self, stream: Stream) -> &mut u64 {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
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

/// Decodes what the follower prints.
#[derive(Debug)]
struct Decoder {
    family: Family,
    id: ProcessId,
    /// What arrived and is not decoded yet: less than a control line and a frame.
    raw: BytesMut,
    /// Whether the follower has said where it begins.
    begun: bool,
    places: Places,
}

impl Decoder {
    fn new(family: Family, id: ProcessId, places: Places) -> Self {
        Self { family, id, raw: BytesMut::new(), begun: false, places }
    }

    /// The next event of what arrived; `None` when more is needed.
    fn next(&mut self) -> Result<Option<Event>> {
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

    #[test]
    fn offsets_are_of_a_process() {
        assert_eq!(Offset::at(Places { stdout: 1, stderr: 2 }).parse().unwrap().0, ["1", "2"]);
        assert_eq!(Offset::now().parse().unwrap().1, None);
        for bad in
            ["", "p1:1", "p1:1:", "p1:-:1", "p1:1:2:3", "f1:1:2", "p1:$(id):1", "p1:1:1000000000000000"]
        {
            assert!(!Offset(bad.into()).parse().unwrap_err().retryable(), "{bad}");
        }
    }
}
