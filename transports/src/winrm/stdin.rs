//! Feeds a command's standard input, on a connection beside the one that waits for its output.
//!
//! - Happy path: pieces as long as the guest takes them, each once the one before was taken; the last says so.
//! - A program that takes its time makes the piece wait, and nothing else. One that takes no more, or has ended, ends
//!   this without a word, as a closed pipe does.
//! - How long a piece may be is asked before the first long one.
//! - A piece of which nobody knows whether it was taken: [`Feeding::failed`] tells, and the command is ended, since its
//!   input would have a hole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::connections::{Connections, LEAST_BYTES, Takes, Trouble};
use super::envelope::Envelopes;
use super::process::Command;

/// Where standard input comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// These bytes, then end of file.
    Bytes(Bytes),
    /// What arrives here, then end of file.
    Piped(mpsc::Receiver<Bytes>),
}

/// How long a piece that is on its way may take when the input is wanted no more. Dropped, it would cost its connection.
const LAST_PIECE: Duration = Duration::from_secs(5);

/// The feeding of one command; ends with this value.
pub(super) struct Feeding {
    /// Dropped, no further piece is sent.
    _wanted: oneshot::Sender<()>,
    failed: Option<oneshot::Receiver<String>>,
}

impl Feeding {
    pub(super) fn begin(command: &Command, source: Source) -> Self {
        let (fail, failed) = oneshot::channel();
        let (wanted, mut unwanted) = oneshot::channel();
        let input = Input {
            connections: Arc::clone(command.connections()),
            shell: command.shell().to_owned(),
            command: command.id().to_owned(),
        };
        tokio::spawn(async move {
            let (stop, stopped) = watch::channel(false);
            let feed = input.feed(source, stopped);
            tokio::pin!(feed);
            let ended = tokio::select! {
                ended = &mut feed => Some(ended),
                _ = &mut unwanted => {
                    stop.send_replace(true);
                    timeout(LAST_PIECE, feed).await.ok()
                }
            };
            if let Some(Err(End::Lost(why))) = ended {
                let _ = fail.send(why);
            }
        });
        Self { _wanted: wanted, failed: Some(failed) }
    }

    /// Why the input is not whole. Never returns where it is, or is not wanted.
    pub(super) async fn failed(&mut self) -> String {
        if let Some(failed) = &mut self.failed {
            if let Ok(why) = failed.await {
                return why;
            }
            self.failed = None;
        }
        std::future::pending().await
    }
}

/// Why there is no more to be fed.
enum End {
    Unwanted,
    Lost(String),
}

struct Input {
    connections: Arc<Connections>,
    shell: String,
    command: String,
}

impl Input {
    async fn feed(&self, source: Source, mut stopped: watch::Receiver<bool>) -> Result<(), End> {
        match source {
            Source::Bytes(bytes) => self.send(bytes, true, &stopped).await,
            Source::Piped(mut pipe) => loop {
                let next = tokio::select! {
                    next = pipe.recv() => next,
                    _ = stopped.wait_for(|stopped| *stopped) => return Err(End::Unwanted),
                };
                match next {
                    Some(bytes) => self.send(bytes, false, &stopped).await?,
                    None => return self.send(Bytes::new(), true, &stopped).await,
                }
            },
        }
    }

    /// Sends these bytes, in pieces; the end of input with the last one.
    async fn send(&self, mut rest: Bytes, last: bool, stopped: &watch::Receiver<bool>) -> Result<(), End> {
        if rest.is_empty() && !last {
            return Ok(());
        }
        if rest.len() > Envelopes::input_bytes(LEAST_BYTES) {
            self.connections.learn_limit().await;
        }
        loop {
            if *stopped.borrow() {
                return Err(End::Unwanted);
            }
            let envelopes = self.connections.envelopes();
            let most = Envelopes::input_bytes(envelopes.most_bytes);
            let piece = rest.slice(..rest.len().min(most));
            let end = last && piece.len() == rest.len();
            let request = envelopes.send(&self.shell, &self.command, &piece, end);
            // Nothing but the end need wait for nobody.
            let takes = if piece.is_empty() { Takes::Brief } else { Takes::Program };
            match self.connections.send(takes, &request).await {
                Ok(_) => {}
                Err(Trouble::Fault(fault)) if fault.too_long() => {
                    let (address, most) = (self.connections.address(), envelopes.most_bytes);
                    return Err(End::Lost(format!(
                        "{address}: the guest takes no messages of {most} bytes ({fault}): raise its MaxEnvelopeSizekb, or \
                         let an administrator log in, whom it tells its limit"
                    )));
                }
                Err(Trouble::Fault(fault)) if fault.timed_out() => {
                    let address = self.connections.address();
                    return Err(End::Lost(format!("{address}: the program did not take its input in time")));
                }
                Err(Trouble::Fault(fault)) => {
                    tracing::trace!(%fault, "a command takes no more input");
                    return Err(End::Unwanted);
                }
                Err(Trouble::Error(error) | Trouble::Unsent(error)) => {
                    return Err(End::Lost(error.to_string()));
                }
            }
            rest = rest.slice(piece.len()..);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}
