//! The life of a client's connection, whichever protocol is spoken on it.
//!
//! ```text
//!   open --Connection dropped--> draining --all written--> lingering --client gone, or a moment passed--> closed
//!    |  client gone, malformed, idle too long                                                        ^
//!    +-----------------------------------------------------------------------------------------------+
//! ```
//!
//! Reader and writer are two futures of one task. Whoever serves the client notices the end by its channels.
//!
//! Lingering: a socket that is closed with unread input resets the connection, which may take from the client what it has
//! not read yet. So the client is let go first, and what it still sends is thrown away.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a client may take to leave when all is said.
const LINGER: Duration = Duration::from_secs(5);

/// Held as long as the client is served; dropped, what is queued is still written.
#[derive(Debug)]
pub(super) struct Connection {
    _closing: oneshot::Sender<()>,
}

/// Told to the writer when nothing more will be queued.
pub(super) type Closing = oneshot::Receiver<()>;

impl Connection {
    pub(super) fn new() -> (Self, Closing) {
        let (sender, closing) = oneshot::channel();
        (Self { _closing: sender }, closing)
    }
}

/// What is queued for the client, until nothing more will be.
pub(super) struct Queue<T> {
    waiting: mpsc::Receiver<T>,
    closing: Closing,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(waiting: mpsc::Receiver<T>, closing: Closing) -> Self {
        Self { waiting, closing, closed: false }
    }

    /// The next one, as soon as there is one; none when all was taken and the client is let go.
    pub(super) async fn next(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                biased;
                next = self.waiting.recv() => return next,
                _ = &mut self.closing, if !self.closed => {
                    self.waiting.close();
                    self.closed = true;
                }
            }
        }
    }

    /// The next one, if it is there already.
    pub(super) fn ready(&mut self) -> Option<T> {
        self.waiting.try_recv().ok()
    }
}

/// When something last happened.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns when nothing has happened for so long.
    async fn stale(&self, patience: Duration) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + patience;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs both directions to the end. The writer ends when all is written; the reader when the client has gone.
pub(super) async fn run<E: std::fmt::Display>(
    reading: impl Future<Output = Result<(), E>>,
    writing: impl Future<Output = std::io::Result<()>>,
    activity: &Activity,
    idle: Duration,
) {
    tokio::pin!(reading);
    let written = tokio::select! {
        read = &mut reading => {
            if let Err(error) = read {
                tracing::info!(%error, "a streaming client is cut off");
            }
            return;
        }
        written = writing => written,
        () = activity.stale(idle) => {
            tracing::info!(?idle, "a streaming client is cut off: nothing has happened for too long");
            return;
        }
    };
    if written.is_ok() {
        let _ = timeout(LINGER, reading).await;
    }
}
