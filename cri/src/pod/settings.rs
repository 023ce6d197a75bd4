//! What a pod asks of its guest's kernel, given to it after each boot, before anything else is done in it.
//!
//! ```text
//!   link is ready -> sysctls are set (a task of its own) -> the guest has answered
//! ```
//!
//! Happy path: one command more, and processes find the values. Failure paths: a session that is lost meanwhile is tried
//! again, and dropped with its link; a guest that refuses, or does not come to an end, ends its machine with the reason, for a
//! pod that asks for a sysctl must not run without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guests::sysctl;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use transports::{Backoff, Session};

/// How long it may take altogether.
const PATIENCE: Duration = Duration::from_secs(90);
/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Sysctls that are being set. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Settings {
    session: Arc<dyn Session>,
    task: JoinHandle<guests::Result<()>>,
}

impl Settings {
    /// Begins to set them.
    pub(super) fn begin(session: Arc<dyn Session>, sysctls: BTreeMap<String, String>) -> Self {
        let to = session.clone();
        let task = tokio::spawn(async move {
            timeout(PATIENCE, set(to.as_ref(), &sysctls))
                .await
                .unwrap_or_else(|_| Err(transports::Error::TimedOut(PATIENCE).into()))
        });
        Self { session, task }
    }

    /// Waits until it is known how that ended. Cancellation loses nothing.
    pub(super) async fn done(&mut self) -> (Arc<dyn Session>, guests::Result<()>) {
        let outcome = (&mut self.task).await.unwrap_or_else(|error| {
            Err(guests::Error::Ended(format!("setting the pod's sysctls was broken off: {error}")))
        });
        (self.session.clone(), outcome)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn set(session: &dyn Session, sysctls: &BTreeMap<String, String>) -> guests::Result<()> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match sysctl::set(session, sysctls).await {
            Err(error) if error.retryable() => sleep(backoff.next_wait()).await,
            outcome => return outcome,
        }
    }
}
