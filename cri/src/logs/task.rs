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

mod console;
mod guest;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guests::Family;
use guests::log::LogSource;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use transports::{Backoff, Session};

use super::checkpoint::{self, Checkpoint, Position};
use super::error::Result;
use super::file::LogFile;
use super::follow::LogTaskConfig;
use super::format::{self, Voice};
use super::surplus::Surplus;

/// How old the checkpoint may become while lines are written.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
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

fn backoff() -> Backoff {
    Backoff::new(BACKOFF.0, BACKOFF.1)
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
        let mut backoff = backoff();
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
                () = sleep(backoff.next_wait()) => {}
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
