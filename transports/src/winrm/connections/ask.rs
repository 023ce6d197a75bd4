//! What may be asked, by what it means that its connection is lost.
//!
//! | | a connection that is lost under it | none to be had |
//! |---|---|---|
//! | [`Connections::ask`] | ends the session | told |
//! | [`Connections::receive`] | ends the session | tried on |
//! | [`Connections::send`] | told | tried on |
//! | [`Connections::probe`] | told | told |
//! | [`Connections::deliver`] | sent again, for a while | tried on, for a while |

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::body::Turn;
use super::super::{envelope, reply};
use super::{Connections, LEAST_BYTES, Loss, Takes, Trouble};
use crate::{Backoff, Error, Result};

/// How long it is tried to deliver what has to be.
const DELIVERY: Duration = Duration::from_secs(30);

impl Connections {
    /// Learns how long messages may be, before a long one is sent: a guest may end the connection under one that is too
    /// long, and an answer that says so is not always sealed.
    pub(in crate::winrm) async fn learn_limit(&self) {
        let ask = async {
            // Who is no administrator is not told.
            let told = self
                .once(Takes::Brief, &self.envelopes().configuration(), &Turn::default(), Loss::Harmless)
                .await
                .ok();
            if let Some(most) = told.and_then(|body| reply::most_bytes(&body)) {
                self.most_bytes.fetch_min(most.max(LEAST_BYTES), Ordering::Relaxed);
            }
        };
        self.settings.get_or_init(|| ask).await;
    }

    /// Sends a request once. Where nobody knows whether it was carried out, the session is over.
    pub(in crate::winrm) async fn ask(&self, message: &str) -> Result<String, Trouble> {
        self.once(Takes::Brief, message, &Turn::default(), Loss::Ends).await
    }

    /// Sends a question for the output of a command that runs.
    pub(in crate::winrm) async fn receive(&self, message: &str) -> Result<String, Trouble> {
        self.patiently(Takes::Poll, message, &Turn::default(), Loss::Ends).await
    }

    /// Sends input to a command that may have ended meanwhile: it alone is in doubt where nobody knows about it.
    pub(in crate::winrm) async fn send(
        &self,
        takes: Takes,
        message: &str,
        turn: &Turn,
    ) -> Result<String, Trouble> {
        self.patiently(takes, message, turn, Loss::Told).await
    }

    /// Sends a request once, as soon as that is possible and its turn has come.
    async fn patiently(
        &self,
        takes: Takes,
        message: &str,
        turn: &Turn,
        loss: Loss,
    ) -> Result<String, Trouble> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut gone = self.gone();
        // What the command runs in is not there any longer.
        let until = Instant::now() + self.options.abandoned_timeout;
        loop {
            let sent = self.once(takes, message, turn, loss).await;
            let Err(Trouble::Unsent(_)) = &sent else { return sent };
            if self.over().is_err() || Instant::now() > until {
                return sent;
            }
            let _ = timeout(backoff.next_wait(), gone.wait_for(Option::is_some)).await;
        }
    }

    async fn once(&self, takes: Takes, message: &str, turn: &Turn, loss: Loss) -> Result<String, Trouble> {
        let asked = self.request(takes, message, turn, loss).await;
        if let Err(Trouble::Error(error) | Trouble::Unsent(error)) = &asked {
            tracing::debug!(address = %self.target.address, %error, "a request was lost");
            self.doubt.notify_one();
        }
        asked
    }

    /// Asks for a sign of life. The end of the session is the caller's to decide.
    pub(in crate::winrm) async fn probe(&self) -> Result<()> {
        match self.request(Takes::Nothing, envelope::IDENTIFY, &Turn::default(), Loss::Harmless).await {
            Ok(_) | Err(Trouble::Fault(_)) => Ok(()),
            Err(Trouble::Error(error) | Trouble::Unsent(error)) => Err(error),
        }
    }

    /// Sends a request to end something, which may be carried out twice, again and again until it was or the guest is given
    /// up.
    pub(in crate::winrm) async fn deliver(&self, message: &str) -> Result<(), Error> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let until = Instant::now() + DELIVERY;
        loop {
            let error = match self.request(Takes::Brief, message, &Turn::default(), Loss::Harmless).await {
                Ok(_) => return Ok(()),
                // What is not there any more needs no end.
                Err(Trouble::Fault(fault)) if fault.not_there() => return Ok(()),
                Err(Trouble::Fault(fault)) => Error::Unreachable(format!("{}: {fault}", self.target.address)),
                Err(Trouble::Error(error) | Trouble::Unsent(error)) => {
                    self.doubt.notify_one();
                    error
                }
            };
            let wait = backoff.next_wait();
            // What is not let in has been tried more than once.
            let hopeless = !error.retryable() || matches!(error, Error::Refused(_));
            if hopeless || Instant::now() + wait > until {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }
}
