//! The task that copies a container's log.
//!
//! ```text
//!            session comes, the source is the guest's
//!   Console ------------------------------------------> Guest
//!      ^                                                  |
//!      +------------ the guest has no such log -----------+
//! ```
//!
//! Both phases write through [`Task::write`], which knows what the log holds already, and end when they were asked to
//! and nothing more comes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guests::Family;
use guests::log::{Cursor, LogSource, LogStream, follow};
use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use transports::Session;

use super::checkpoint::{self, Checkpoint, Position};
use super::console::{Console, Piece};
use super::error::Result;
use super::file::LogFile;
use super::follow::LogTaskConfig;
use super::format::{self, Voice};
use super::sanitize::{Line, Sanitizer};
use super::surplus::Surplus;

/// How old the checkpoint may become while lines are written.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How long an unfinished line of the console waits for its rest before it is written as a part.
const UNFINISHED: Duration = Duration::from_secs(3);
/// A guest that is told to end and is silent for so long has no more to say: its files are looked at once a second.
const QUIET: Duration = Duration::from_secs(2);
/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Open the log file again.
    Reopen(oneshot::Sender<Result<()>>),
    /// End when nothing more comes, or then.
    Finish(Instant),
}

/// What comes after a phase.
enum Next {
    Console,
    Guest,
    End,
}

/// A backoff with jitter.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(BACKOFF.0)
    }

    fn next(&mut self) -> Duration {
        let now = self.0.mul_f64(rand::rng().random_range(0.7..1.3));
        self.0 = (self.0 * 2).min(BACKOFF.1);
        now
    }
}

/// The state of a log.
#[derive(Debug)]
pub(super) struct Task {
    log: LogFile,
    checkpoint: PathBuf,
    console_log: Option<PathBuf>,
    family: Family,
    source: LogSource,
    session: watch::Receiver<Option<Arc<dyn Session>>>,
    requests: mpsc::Receiver<Request>,
    /// Where the source is written down up to.
    position: Position,
    /// How far the console has been read.
    console: u64,
    /// Payload in the log beyond `position`.
    ahead: u64,
    /// Payload that comes again and is in the log.
    surplus: Surplus,
    saved: Instant,
    unsaved: bool,
    deadline: Option<Instant>,
    last_notice: String,
    /// Something to say before all else.
    warning: Option<&'static str>,
    full: bool,
}

impl Task {
    /// Opens the files. Blocks on the disk.
    pub(super) fn open(
        log_path: PathBuf,
        config: LogTaskConfig,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Self> {
        let LogTaskConfig { log_path: _, checkpoint, console_log, family, source, session } = config;
        let kept: Option<Checkpoint> = checkpoint::load(&checkpoint)?;
        let surplus = kept.as_ref().map(|kept| kept.surplus(&log_path));
        let warning = matches!(surplus, Some(None)).then_some(
            "the log file was taken away while its writer was down: its last lines may come twice",
        );
        let surplus = surplus.flatten().unwrap_or(0);
        let start = if console_log.is_some() || source == LogSource::Console {
            Position::Console(0)
        } else {
            Position::Guest(None)
        };
        let (mut position, console) = kept.map_or((start, 0), |kept| (kept.position, kept.console));
        if source == LogSource::Console && matches!(position, Position::Guest(_)) {
            position = Position::Console(console);
        }
        let mut task = Self {
            log: LogFile::open(log_path)?,
            checkpoint,
            console_log,
            family,
            source,
            session,
            requests,
            position,
            console,
            ahead: surplus,
            surplus: Surplus(surplus),
            saved: Instant::now(),
            unsaved: false,
            deadline: None,
            last_notice: String::new(),
            warning,
            full: false,
        };
        task.save();
        Ok(task)
    }

    /// Copies until asked to finish.
    pub(super) async fn run(mut self) {
        if let Some(warning) = self.warning.take() {
            self.notice(warning).await;
        }
        loop {
            let next = match self.position.clone() {
                Position::Console(offset) => self.copy_console(offset).await,
                Position::Guest(cursor) => self.copy_guest(cursor).await,
            };
            match next {
                Next::Console => {
                    self.source = LogSource::Console;
                    self.turn(Position::Console(self.console));
                }
                Next::Guest => self.turn(Position::Guest(None)),
                Next::End => break,
            }
        }
        self.save();
    }

    /// Goes over to another source.
    fn turn(&mut self, position: Position) {
        self.position = position;
        self.ahead = 0;
        self.surplus = Surplus(0);
        self.save();
    }

    async fn copy_console(&mut self, offset: u64) -> Next {
        let mut sanitizer = Sanitizer::new(offset);
        let mut console = match self.console_log.clone().map(Console::new).transpose() {
            Ok(console) => console,
            Err(error) => {
                self.notice(&format!("cannot watch the serial console: {error}")).await;
                None
            }
        };
        let mut lines = Vec::new();
        let mut since = None;
        loop {
            while let Ok(request) = self.requests.try_recv() {
                self.serve(request);
            }
            let piece = match console.as_mut().map(|console| console.read(sanitizer.offset())) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    self.notice(&format!("cannot read the serial console: {error}")).await;
                    console = None;
                    continue;
                }
                None => Piece::End,
            };
            match piece {
                Piece::Bytes(bytes) => {
                    sanitizer.feed(&bytes, &mut lines);
                    self.write_lines(&mut lines).await;
                    since = Some(Instant::now() + UNFINISHED);
                    if !self.overdue() {
                        // A long backlog of one pod does not hold up the others.
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
                Piece::Released(count) => {
                    sanitizer.skip(count);
                    self.surplus = Surplus(0);
                    self.notice(&format!("{count} bytes of the serial console were released unread")).await;
                    continue;
                }
                Piece::End => {}
            }
            let guest = self.source != LogSource::Console && self.session.borrow_and_update().is_some();
            if self.deadline.is_some() || guest {
                sanitizer.finish(&mut lines);
                self.write_lines(&mut lines).await;
                self.console = sanitizer.offset();
                if self.deadline.is_some() {
                    // A line that has no end got one: there is nothing to resume.
                    self.position = Position::Console(self.console);
                    self.ahead = 0;
                    return Next::End;
                }
                self.notice("the guest answers: its own log follows").await;
                return Next::Guest;
            }
            tokio::select! {
                changed = changed(console.as_ref()) => if let Err(error) = changed {
                    self.notice(&format!("cannot watch the serial console: {error}")).await;
                    console = None;
                },
                () = at(since) => {
                    since = None;
                    lines.extend(sanitizer.unfinished());
                    self.write_lines(&mut lines).await;
                }
                () = session_changed(&mut self.session), if self.source != LogSource::Console => {}
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request),
                    None => return Next::End,
                },
                () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
            }
        }
    }

    async fn copy_guest(&mut self, mut cursor: Option<Cursor>) -> Next {
        let mut backoff = Backoff::new();
        loop {
            let session = self.session.borrow_and_update().clone();
            let Some(session) = session else {
                if self.deadline.is_some() {
                    return Next::End;
                }
                tokio::select! {
                    () = session_changed(&mut self.session) => {}
                    request = self.requests.recv() => match request {
                        Some(request) => self.serve(request),
                        None => return Next::End,
                    },
                    () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
                }
                continue;
            };
            let begun = Instant::now();
            let error = match self.open_stream(session, cursor.clone()).await {
                Some(Ok(mut stream)) => match self.drain(&mut stream, &mut cursor).await {
                    Some(error) => error,
                    None => return Next::End,
                },
                Some(Err(error)) => error,
                None => return Next::End,
            };
            if !error.retryable() && self.console_log.is_some() {
                self.notice(&format!("{error}; the serial console follows instead")).await;
                return Next::Console;
            }
            tracing::debug!(%error, "the guest's log is interrupted");
            if self.deadline.is_some() {
                return Next::End;
            }
            if begun.elapsed() > BACKOFF.1 {
                backoff = Backoff::new();
            }
            // The session may be gone without its owner knowing yet.
            let again = Instant::now() + backoff.next();
            while Instant::now() < again && self.deadline.is_none() {
                tokio::select! {
                    () = sleep_until(again) => {}
                    request = self.requests.recv() => match request {
                        Some(request) => self.serve(request),
                        None => return Next::End,
                    },
                }
            }
        }
    }

    /// Begins to follow; `None` when the deadline passes first.
    async fn open_stream(
        &mut self,
        session: Arc<dyn Session>,
        cursor: Option<Cursor>,
    ) -> Option<guests::Result<LogStream>> {
        let opening = follow(session, self.family, self.source.clone(), cursor);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                stream = &mut opening => return Some(stream),
                request = self.requests.recv() => self.serve(request?),
                () = at(self.deadline) => return None,
            }
        }
    }

    /// Writes records until the stream ends with an error, or it was asked to finish (`None`).
    async fn drain(&mut self, stream: &mut LogStream, cursor: &mut Option<Cursor>) -> Option<guests::Error> {
        let mut heard = Instant::now();
        loop {
            let quiet = self.deadline.map(|deadline| deadline.min(heard + QUIET));
            tokio::select! {
                record = stream.next() => {
                    let record = match record? {
                        Ok(record) => record,
                        Err(error) => return Some(error),
                    };
                    heard = Instant::now();
                    if record.notice {
                        if record.text.starts_with(b"the place") {
                            self.surplus = Surplus(0);
                        }
                        self.notice(&String::from_utf8_lossy(&record.text)).await;
                        continue;
                    }
                    *cursor = Some(record.cursor.clone());
                    let position = Position::Guest(Some(record.cursor));
                    self.write(record.at, &record.text, record.partial, Some(position)).await;
                    if self.overdue() {
                        return None;
                    }
                }
                request = self.requests.recv() => {
                    self.serve(request?);
                    heard = Instant::now();
                }
                () = at(quiet) => return None,
                () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
            }
        }
    }

    async fn write_lines(&mut self, lines: &mut Vec<Line>) {
        for line in lines.drain(..) {
            let position = line.resume.map(Position::Console);
            self.write(SystemTime::now(), line.text.as_bytes(), line.partial, position).await;
            self.console = line.resume.unwrap_or(self.console);
        }
    }

    /// Writes what is new of a record; `position` resumes right after it.
    async fn write(&mut self, at: SystemTime, text: &[u8], partial: bool, position: Option<Position>) {
        if let Some(rest) = self.surplus.take(text, partial) {
            if !self.put(&format::line(at, Voice::Guest, partial, rest)).await {
                return;
            }
            self.ahead += rest.len() as u64 + u64::from(!partial);
            self.last_notice.clear();
        }
        if let Some(position) = position {
            self.position = position;
            self.ahead = self.surplus.0;
        }
        self.unsaved = true;
        if self.saved.elapsed() > CHECKPOINT_EVERY {
            self.save();
        }
    }

    /// Says something of ours, once.
    async fn notice(&mut self, text: &str) {
        if text != self.last_notice {
            text.clone_into(&mut self.last_notice);
            self.put(&format::line(SystemTime::now(), Voice::Ours, false, text.as_bytes())).await;
        }
    }

    /// Writes a line, as soon as there is room for it; false when the deadline passes first.
    async fn put(&mut self, line: &[u8]) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.log.write(line) else {
                if self.full {
                    self.full = false;
                    tracing::info!("the container's log is written again");
                }
                return true;
            };
            if !self.full {
                self.full = true;
                tracing::warn!(%error, "the container's log waits: make room on its disk");
            }
            if self.overdue() {
                return false;
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = at(self.deadline) => {}
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request),
                    None => return false,
                },
            }
        }
    }

    fn overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Reopen(answer) => {
                let result = self.log.reopen();
                // Before the first line of the new file: whoever comes next must know which file it is.
                self.save();
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
            Request::Finish(deadline) => self.deadline = Some(deadline),
        }
    }

    /// Stores the checkpoint. A failure is said and tried again later: the log itself goes on.
    fn save(&mut self) {
        self.saved = Instant::now();
        let stored = self.log.inode().and_then(|inode| {
            let (position, ahead) = (self.position.clone(), self.ahead);
            let size = self.log.size();
            let kept = Checkpoint { position, ahead, console: self.console, inode, size };
            checkpoint::store(&self.checkpoint, &kept)
        });
        match stored {
            Ok(()) => self.unsaved = false,
            Err(error) => {
                self.unsaved = true;
                tracing::warn!(%error, "the log's place is not kept");
            }
        }
    }
}

/// Returns when the console may have more; never where there is none.
async fn changed(console: Option<&Console>) -> std::io::Result<()> {
    match console {
        Some(console) => console.changed().await,
        None => std::future::pending().await,
    }
}

/// Returns at that time, if there is one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when another session, or none, is there; never when there will be no more.
async fn session_changed(session: &mut watch::Receiver<Option<Arc<dyn Session>>>) {
    if session.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
