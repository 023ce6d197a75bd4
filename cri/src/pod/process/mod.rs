//! A container that is a process in its pod's guest: one task starts it, follows its output, and stops it.
//!
//! ```text
//!   waiting for a session --> starting --> following --exit told, log whole--> exited
//!        ^                       |             |
//!        +------ session lost, backoff --------+          StartContainer's caller is told after start-wait either way
//! ```
//!
//! Happy path: the guest answers, [`guests::process::Guest::start`] runs the process there, detached from us; its output
//! comes by offset into the log, the checkpoint says how far, and what is written down may be forgotten by the guest. The
//! exit is told to the pod's owner after the last line.
//!
//! Failure paths: a lost session or a restarted daemon goes on by offset, and never starts the process again: a start is
//! repeated only until it has been confirmed, and the guest knows the process by its id. A guest that cannot run it at
//! all, or does not take its volumes, is a failed start. A process that is stopped before it was seen to run is no longer started,
//! only looked for; one that is being started meanwhile is asked to stop when it runs. A guest that rebooted knows nothing of it:
//! it is lost. A machine that ends takes the process with it, and the owner tells that. A full disk holds up the log, and by it the process, until there is room.

mod stopper;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use guests::process::{Guest, Identity, ProcessExit, ProcessSpec};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use transports::Session;

use crate::error::{Error, Result};
use crate::logs::ProcessLog;
use crate::store::Resources;
use crate::volume::Volumes;
use task::Task;
pub(super) use task::guest_of;

/// Requests that wait for the task.
const WAITING_ASKS: usize = 8;
/// How long a task may take to hear what it is asked.
const HEARING: Duration = Duration::from_secs(10);
/// How much longer than its deadline a task may take to end.
const SLACK: Duration = Duration::from_secs(1);

/// The session of the moment.
pub(super) type Sessions = watch::Receiver<Option<Arc<dyn Session>>>;

/// The guest of a machine, as far as it is known: its family, and how processes are run in it once somebody has asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    family: guests::Family,
    guest: Arc<OnceCell<Arc<dyn Guest>>>,
}

impl Known {
    /// A guest of this family that nobody has asked yet.
    pub(super) fn new(family: guests::Family) -> Self {
        Self { family, guest: Arc::default() }
    }
}

/// What a process needs to be run and followed.
pub(super) struct ProcessConfig {
    /// The container.
    pub(super) container: String,
    /// What it runs.
    pub(super) spec: ProcessSpec,
    /// The volumes that it wants.
    pub(super) volumes: Volumes,
    /// Whether it was seen to have been started, and so must not be started again.
    pub(super) started: bool,
    /// Whether its guest may have been told to start it.
    pub(super) tried: bool,
    /// The session to its guest.
    pub(super) sessions: Sessions,
    /// The guest.
    pub(super) guest: Known,
    /// Where its output goes.
    pub(super) log: ProcessLog,
    /// When the caller of its start no longer waits.
    pub(super) start_wait: Option<Instant>,
}

/// What a task tells the pod's owner.
#[derive(Debug)]
pub(super) struct Told {
    /// The container.
    pub(super) container: String,
    /// What happened.
    pub(super) what: What,
}

/// What happened to a process.
#[derive(Debug)]
pub(super) enum What {
    /// It runs, or ran; since then, in nanoseconds since 1970.
    Started(i64, Option<Identity>),
    /// It still has not started, and its caller no longer waits.
    Waits,
    /// It cannot be started in this guest.
    Failed(String),
    /// It has ended, and its log is whole.
    Exited(ProcessExit),
    /// It was stopped, and its guest has not started it.
    NeverBegan,
    /// The guest no longer knows it.
    Lost(String),
    /// What was left of it in the guest is gone, or why not. Whoever asked for that is answered by the owner.
    Cleaned(Result<()>, oneshot::Sender<Result<()>>),
    /// It, or its pod, may use this from now on, or why not. Whoever asked for that is answered by the owner.
    Updated(Result<()>, Updated, oneshot::Sender<Result<()>>),
}

/// What is in force after an update.
#[derive(Debug)]
pub(super) enum Updated {
    /// Of the container.
    Container(Resources),
    /// Of its pod.
    Pod(Resources),
}

/// What is asked of a task.
#[derive(Debug)]
enum Ask {
    /// End the process within this time.
    Stop(Duration),
    /// Open the log anew.
    Reopen(oneshot::Sender<Result<()>>),
    /// The machine has ended: write what came, until then at most, and end.
    Finish(Instant),
}

/// A process being run and followed. Dropping it ends the following; the process goes on.
#[derive(Debug)]
pub(super) struct Process {
    asks: mpsc::Sender<Ask>,
    task: AbortHandle,
}

impl Process {
    /// Begins, or goes on from the log's checkpoint.
    pub(super) fn spawn(config: ProcessConfig, told: mpsc::Sender<Box<Told>>) -> Self {
        let (asks, asked) = mpsc::channel(WAITING_ASKS);
        let task = tokio::spawn(Task::new(config, told, asked).run()).abort_handle();
        Self { asks, task }
    }

    /// Begins to end the process. A task that has just ended tells so itself.
    pub(super) async fn stop(&self, grace: Duration) {
        let _ = timeout(HEARING, self.asks.send(Ask::Stop(grace))).await;
    }

    /// Opens the log anew. When this returns, lines go to the new file.
    pub(super) async fn reopen(&self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let closed = || Error::Conflict("the container's log is already closed".into());
        let opened = async {
            self.asks.send(Ask::Reopen(answer)).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        let busy = |_| Error::Unavailable("the container's log is busy; try again".into());
        timeout(HEARING, opened).await.map_err(busy)?
    }

    /// Writes what came of its output, for at most `within`, then ends the following.
    pub(super) async fn finish(&self, within: Duration) {
        let ended = timeout(within + SLACK, async {
            if self.asks.send(Ask::Finish(Instant::now() + within)).await.is_ok() {
                self.asks.closed().await;
            }
        });
        if ended.await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}
