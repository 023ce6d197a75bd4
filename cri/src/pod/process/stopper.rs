//! Ending a process: its own stop signal, then `KILL` at the end of the grace period, again and again until it is gone.
//!
//! It works beside the following of the output, which is how the end is seen; whoever follows aborts it then. A session
//! that is lost meanwhile is waited for, and the signal is sent again.

use std::time::Duration;

use guests::process::ProcessId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::super::live::at;
use super::task::{guest_of, session};
use super::{Known, Sessions};

/// How long a guest may take to be told a signal.
const SIGNAL: Duration = Duration::from_secs(30);
/// How long after a session was lost a signal is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(1);
/// How long after `KILL` a process that is still there is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// What became of a signal.
enum Sent {
    /// The guest has heard it, or refused it.
    Carried,
    /// The session was lost.
    Lost,
    /// The session does not answer, and may be lost.
    Silent,
}

/// Whom to stop, and how.
pub(super) struct Stopper {
    pub(super) id: ProcessId,
    pub(super) sessions: Sessions,
    pub(super) guest: Known,
    /// The signal that asks it to stop.
    pub(super) signal: String,
    /// When it is killed; may come nearer.
    pub(super) kill_at: watch::Receiver<Instant>,
}

impl Stopper {
    /// Never ends by itself: the process's end ends it.
    pub(super) async fn run(mut self) {
        let signal = self.signal.clone();
        let mut kill_at = self.kill_at.clone();
        if Instant::now() < *kill_at.borrow_and_update() {
            tokio::select! {
                () = self.insist(&signal) => {}
                () = due(&mut kill_at) => {}
            }
            due(&mut kill_at).await;
        }
        loop {
            self.send("KILL").await;
            sleep(KILL_AGAIN).await;
        }
    }

    /// Sends a signal until a session has carried it.
    async fn insist(&mut self, signal: &str) {
        loop {
            match self.send(signal).await {
                Sent::Carried => return,
                Sent::Lost => sleep(SEND_AGAIN).await,
                // One that is only slow would hear it twice.
                Sent::Silent => drop(self.sessions.changed().await),
            }
        }
    }

    /// Sends a signal as soon as there is a session. `KILL` comes anyway.
    async fn send(&mut self, signal: &str) -> Sent {
        let session = session(&mut self.sessions).await;
        let sent = timeout(SIGNAL, async {
            guest_of(&self.guest, session.as_ref()).await?.signal(session.as_ref(), &self.id, signal).await
        });
        match sent.await {
            Ok(Ok(())) => Sent::Carried,
            Ok(Err(error)) => {
                tracing::info!(process = %self.id, signal, %error, "the signal did not arrive");
                if matches!(error, guests::Error::Session(_)) { Sent::Lost } else { Sent::Carried }
            }
            Err(_) => {
                tracing::info!(process = %self.id, signal, "the guest was silent when it was told the signal");
                Sent::Silent
            }
        }
    }
}

/// Returns when it is time to kill.
async fn due(kill_at: &mut watch::Receiver<Instant>) {
    loop {
        let moment = *kill_at.borrow_and_update();
        tokio::select! {
            () = at(Some(moment)) => return,
            changed = kill_at.changed() => if changed.is_err() {
                return at(Some(moment)).await;
            },
        }
    }
}
