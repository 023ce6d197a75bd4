//! Feeds a command's standard input, on a connection beside the one that waits for its output.
//!
//! ```text
//!   what there is, as much as a message takes --Send--> taken -> the next, nearly there already
//!                                               |  time is up: it is being taken, never sent again -> the next
//!                                               `- busy with the one before: not looked at, sent again after a wait
//! ```
//!
//! - Happy path: pieces as long as the guest takes them, each once the one before was taken; the last says so. What comes
//!   in small parts while one is on its way goes together in the next. A next one that is full goes meanwhile, too, where a
//!   place for that is free, on a connection of its own and without its last byte ([`Body`](super::body::Body)), so that
//!   the guest cannot carry it out before the one before it was answered.
//! - A program that takes its time makes the piece wait, and nothing else. Windows goes on writing it to the program after
//!   it has said that the time of the request is up, and refuses another piece until that is done (`ERROR_BUSY`): so
//!   others have measured it (ansible/ansible#81538); no document tells.
//! - One that takes no more, or has ended, ends this without a word, as a closed pipe does.
//! - How long a piece may be is asked before the first long one.
//! - A piece of which nobody knows whether it was taken: [`Feeding::failed`] tells, and the command is ended, since its
//!   input would have a hole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::body::Turn;
use super::connections::{Connections, LEAST_BYTES, Takes, Trouble};
use super::envelope::Envelopes;
use super::process::Command;
use crate::Backoff;

/// Where standard input comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// These bytes, then end of file.
    Bytes(Bytes),
    /// What arrives here, then end of file.
    Piped(mpsc::Receiver<Bytes>),
}

/// How many full pieces are sent but for a byte while one is on its way.
const AHEAD: usize = 1;

/// The first wait before a piece is sent again that the guest was too busy to look at, and the longest.
const FIRST_BUSY_WAIT: Duration = Duration::from_millis(50);
const LONGEST_BUSY_WAIT: Duration = Duration::from_secs(2);

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
        let input = Arc::new(Input {
            connections: Arc::clone(command.connections()),
            shell: command.shell().to_owned(),
            command: command.id().to_owned(),
        });
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
    async fn feed(self: Arc<Self>, source: Source, mut stopped: watch::Receiver<bool>) -> Result<(), End> {
        let (mut held, mut pipe) = match source {
            Source::Bytes(bytes) => (bytes, None),
            Source::Piped(pipe) => (Bytes::new(), Some(pipe)),
        };
        // Ended with this value.
        let mut pieces = JoinSet::new();
        let mut turn = Turn::default();
        loop {
            if let (true, Some(pipe)) = (held.is_empty(), &mut pipe) {
                let next = tokio::select! {
                    next = pipe.recv() => next,
                    Some(sent) = pieces.join_next() => {
                        answered(sent)?;
                        continue;
                    }
                    _ = stopped.wait_for(|stopped| *stopped) => return Err(End::Unwanted),
                };
                match next {
                    Some(bytes) if bytes.is_empty() => continue,
                    Some(bytes) => held = bytes,
                    None => {}
                }
            }
            let whole = fill(&mut held, pipe.as_mut(), self.most_bytes());
            if held.len() > Envelopes::input_bytes(LEAST_BYTES) {
                self.connections.learn_limit().await;
            }
            let most = self.most_bytes();
            // What is short may grow while another piece is on its way; what is full is sent meanwhile, but for a byte.
            let may_go = held.len() >= most && (1..=AHEAD).contains(&pieces.len());
            let ahead = may_go.then(|| self.connections.ahead()).flatten();
            if ahead.is_none()
                && let Some(sent) = pieces.join_next().await
            {
                answered(sent)?;
                continue;
            }
            let piece = held.split_to(held.len().min(most));
            let last = whole && held.is_empty();
            let (taken, next) = Turn::after();
            let (input, turn) = (Arc::clone(&self), std::mem::replace(&mut turn, next));
            let stopped = stopped.clone();
            pieces.spawn(async move {
                input.send(&piece, last, turn, ahead, stopped).await?;
                // Nobody waits for the turn after the last one.
                let _ = taken.send(true);
                Ok(())
            });
            if last {
                while let Some(sent) = pieces.join_next().await {
                    answered(sent)?;
                }
                return Ok(());
            }
        }
    }

    /// The most bytes of a piece.
    fn most_bytes(&self) -> usize {
        Envelopes::input_bytes(self.connections.envelopes().most_bytes)
    }

    /// Sends one piece, which is given to the program once.
    async fn send(
        &self,
        piece: &[u8],
        last: bool,
        turn: Turn,
        ahead: Option<OwnedSemaphorePermit>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), End> {
        let takes = match &ahead {
            Some(_) => Takes::Ahead,
            // Nothing but the end need wait for nobody.
            None if piece.is_empty() => Takes::Brief,
            None => Takes::Program,
        };
        let mut backoff = Backoff::new(FIRST_BUSY_WAIT, LONGEST_BUSY_WAIT);
        loop {
            if *stopped.borrow() {
                return Err(End::Unwanted);
            }
            let envelopes = self.connections.envelopes();
            let request = envelopes.send(&self.shell, &self.command, piece, last);
            match self.connections.send(takes, &request, &turn).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Fault(fault)) if fault.too_long() => {
                    let (address, most) = (self.connections.address(), envelopes.most_bytes);
                    return Err(End::Lost(format!(
                        "{address}: the guest takes no messages of {most} bytes ({fault}): raise its MaxEnvelopeSizekb, or \
                         let an administrator log in, whom it tells its limit"
                    )));
                }
                Err(Trouble::Fault(fault)) if fault.timed_out() => {
                    tracing::trace!("a command takes its time with its input");
                    return Ok(());
                }
                Err(Trouble::Fault(fault)) if fault.busy() => {
                    let _ = timeout(backoff.next_wait(), stopped.wait_for(|stopped| *stopped)).await;
                }
                Err(Trouble::Fault(fault)) => {
                    tracing::trace!(%fault, "a command takes no more input");
                    return Err(End::Unwanted);
                }
                Err(Trouble::Error(error) | Trouble::Unsent(error)) => {
                    return Err(End::Lost(error.to_string()));
                }
            }
        }
    }
}

/// What came of a piece.
fn answered(sent: Result<Result<(), End>, JoinError>) -> Result<(), End> {
    sent.unwrap_or_else(|error| Err(End::Lost(format!("its input was given up: {error}"))))
}

/// Adds what has come meanwhile, as far as one piece takes it. Whether nothing more will come.
fn fill(held: &mut Bytes, pipe: Option<&mut mpsc::Receiver<Bytes>>, most: usize) -> bool {
    let Some(pipe) = pipe else { return true };
    let mut more = Vec::new();
    let whole = loop {
        if held.len() + more.len() >= most {
            break false;
        }
        match pipe.try_recv() {
            Ok(bytes) => more.extend_from_slice(&bytes),
            Err(TryRecvError::Empty) => break false,
            Err(TryRecvError::Disconnected) => break true,
        }
    };
    if !more.is_empty() {
        *held = Bytes::from([&held[..], &more].concat());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_meanwhile_goes_together() {
        let (sender, mut pipe) = mpsc::channel(8);
        let mut held = Bytes::from_static(b"a");
        assert!(!fill(&mut held, Some(&mut pipe), 4), "more may come");
        for part in ["b", "", "cde", "f"] {
            sender.try_send(part.into()).unwrap();
        }
        drop(sender);
        assert!(!fill(&mut held, Some(&mut pipe), 4), "a piece is full");
        assert_eq!(held.split_to(4), "abcd");
        assert!(fill(&mut held, Some(&mut pipe), 4));
        assert_eq!(held, "ef");
        assert!(fill(&mut held, None, 4), "there is nothing but these");
    }
}
