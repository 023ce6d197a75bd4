//! The handle of a container's log task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::log::LogSource;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use transports::Session;

use super::error::{Error, Result};
use super::task::{Request, Task};

/// How much longer than its deadline a task may take to end.
const SLACK: Duration = Duration::from_secs(1);

/// What a container's log is made of.
#[derive(Debug, Clone)]
pub struct LogTaskConfig {
    /// The file that the kubelet reads; none for a container without a log.
    pub log_path: Option<PathBuf>,
    /// Where the task keeps its place across restarts. One file for each container.
    pub checkpoint: PathBuf,
    /// The file with the serial console, where the machine has one.
    pub console_log: Option<PathBuf>,
    /// The family of the guest.
    pub family: Family,
    /// The log that is shown once the guest answers.
    pub source: LogSource,
    /// The present session to the guest. A log that is read slowly slows its session down: give it one of its own.
    pub session: watch::Receiver<Option<Arc<dyn Session>>>,
}

/// A container's log being written. Dropping it ends the writing at once; a later start goes on where it was.
#[derive(Debug)]
pub struct LogTask {
    task: Option<(mpsc::Sender<Request>, AbortHandle)>,
}

impl LogTask {
    /// Opens the log file (it exists when this returns) and begins, or goes on from the checkpoint.
    pub async fn start(config: LogTaskConfig) -> Result<Self> {
        let Some(log_path) = config.log_path.clone() else { return Ok(Self { task: None }) };
        let (requests, receiver) = mpsc::channel(4);
        let task = tokio::task::spawn_blocking(move || Task::open(log_path, config, receiver))
            .await
            .map_err(|_| Error::Closed)??;
        let abort = tokio::spawn(task.run()).abort_handle();
        Ok(Self { task: Some((requests, abort)) })
    }

    /// Opens the log file again after the kubelet has renamed it. When this returns, lines go to the new file.
    pub async fn reopen(&self) -> Result<()> {
        let Some((requests, _)) = &self.task else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        requests.send(Request::Reopen(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Writes what the guest or the console still has, for at most `within`, then ends.
    pub async fn finish(&self, within: Duration) {
        let Some((requests, abort)) = &self.task else { return };
        let deadline = Instant::now() + within;
        let ended = timeout(within + SLACK, async {
            if requests.send(Request::Finish(deadline)).await.is_ok() {
                requests.closed().await;
            }
        });
        if ended.await.is_err() {
            abort.abort();
        }
    }

    /// Ends the writing at once.
    pub fn abort(&self) {
        if let Some((_, abort)) = &self.task {
            abort.abort();
        }
    }
}

impl Drop for LogTask {
    fn drop(&mut self) {
        self.abort();
    }
}
