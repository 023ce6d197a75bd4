//! Carrying a command's output to its reader, until it has ended and all was handed over.
//!
//! - Happy path: what the channel brings goes to the caller in order, and the exit after it.
//! - The reader lags: output is queued, the connection takes no further commands, and the command is held where others
//!   run beside it (see [`super::super`]).
//! - The caller is gone: the command is killed. The connection is gone: [`Exit::Lost`].

use std::sync::Arc;

use bytes::Bytes;
use russh::{ChannelMsg, Sig};
use tokio::sync::{mpsc, oneshot};

use super::super::client;
use super::super::preamble::{Leader, Preamble};
use super::Running;
use super::kill::Hold;
use crate::{Error, Exit, Output, Result, Stream};

/// Unread bytes from which on the connection takes no further commands.
const LAG_BYTES: usize = 512 * 1024;

/// Unread bytes at which reading stops, where nothing else is on the connection.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// The same where nothing else ever comes to the connection.
const OWN_QUEUE_BYTES: usize = 1024 * 1024;

/// Unread bytes at which reading stops although that stops neighbours too: only where the command could not be held.
const CROWDED_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What a queued message costs beside its bytes.
const MESSAGE_COST_BYTES: usize = 128;

/// What a running command waits for.
enum Event<'a> {
    Unwanted,
    SessionClosed,
    /// The caller dropped its receiver: what is queued is thrown away.
    Unread,
    Room(mpsc::Permit<'a, Output>),
    Message(Option<ChannelMsg>),
}

impl Running {
    /// Takes what the channel brought. Gives how the command ended, once it has.
    pub(super) fn accept(&mut self, message: Option<ChannelMsg>) -> Result<Option<Exit>> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                let data = match &mut self.preamble {
                    Some(preamble) => preamble.stdout(data)?,
                    None => data,
                };
                self.enqueue(Stream::Stdout, data);
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                let data = match (&mut self.preamble, &mut self.clixml) {
                    (Some(preamble), _) => preamble.stderr(data)?,
                    (None, Some(clixml)) => clixml.push(&data),
                    (None, None) => data,
                };
                self.enqueue(Stream::Stderr, data);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.exit = Some(Exit::Code(exit_status.cast_signed()));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.exit = Some(Exit::Signal(name(&signal_name)));
            }
            Some(ChannelMsg::Success) => self.accepted = true,
            Some(ChannelMsg::Eof) => self.stdout_ended = true,
            Some(ChannelMsg::Failure) => {
                return Err(Error::Invalid("the guest refused to run the command (no exec allowed?)".into()));
            }
            Some(ChannelMsg::Close) => {
                self.let_go();
                let silent = || {
                    Exit::Lost("the guest closed the channel without telling how the command ended".into())
                };
                return Ok(Some(self.exit.take().unwrap_or_else(silent)));
            }
            Some(_) => {}
            None => {
                self.let_go();
                return Ok(Some(self.cut_short()));
            }
        }
        Ok(None)
    }

    /// No more of it will come: what was kept is handed on.
    fn let_go(&mut self) {
        if let Some(clixml) = &mut self.clixml {
            let rest = clixml.finish();
            self.enqueue(Stream::Stderr, rest);
        }
    }

    /// The connection went away under the command. What was told before the end of output may be all or not.
    fn cut_short(&mut self) -> Exit {
        if let (Some(exit), true) = (self.exit.take(), self.stdout_ended) {
            return exit;
        }
        let why = self.slot.as_ref().and_then(|slot| slot.connection.end());
        Exit::Lost(why.unwrap_or_else(|| "the connection ended".into()))
    }

    fn enqueue(&mut self, stream: Stream, data: Bytes) {
        if !data.is_empty() {
            self.queued_bytes += data.len() + MESSAGE_COST_BYTES;
            self.queue.push_back(Output { stream, data });
        }
    }

    /// Carries output until the command has ended and all of it was taken, or nobody wants it any more.
    pub(super) async fn carry(
        &mut self,
        output: &mpsc::Sender<Output>,
        guarded: oneshot::Receiver<()>,
    ) -> Exit {
        tokio::pin!(guarded);
        loop {
            if output.is_closed() {
                self.queue.clear();
                self.queued_bytes = 0;
            }
            if self.ended.is_some() && self.queue.is_empty() {
                break;
            }
            let most_bytes = self.settle();
            let running = self.ended.is_none();
            let event = tokio::select! {
                _ = &mut guarded => Event::Unwanted,
                _ = self.session_closed.wait_for(|closed| *closed), if running => Event::SessionClosed,
                () = output.closed(), if !self.queue.is_empty() => Event::Unread,
                permit = output.reserve(), if !self.queue.is_empty() => permit.map_or(Event::Unread, Event::Room),
                message = self.reader.wait(), if running && self.queued_bytes < most_bytes => Event::Message(message),
            };
            match event {
                Event::Unwanted => {
                    if running {
                        self.kill().await;
                    }
                    return self.ended.take().unwrap_or_else(|| Exit::Signal("KILL".into()));
                }
                Event::SessionClosed => {
                    self.ended = Some(Exit::Lost("the session was closed".into()));
                    self.slot = None;
                }
                Event::Unread => {}
                Event::Room(permit) => {
                    if let Some(next) = self.queue.pop_front() {
                        self.queued_bytes -= next.data.len() + MESSAGE_COST_BYTES;
                        permit.send(next);
                    }
                }
                Event::Message(message) => {
                    // The markers have passed on both streams or will; a failure then only costs noise.
                    if let Ok(Some(exit)) = self.accept(message) {
                        self.ended = Some(exit);
                        self.slot = None;
                    }
                }
            }
        }
        self.ended.take().unwrap_or_else(|| Exit::Lost("the connection ended".into()))
    }

    /// Takes the measures that the unread output asks for, and gives how much may pile up.
    fn settle(&mut self) -> usize {
        let Some(slot) = &mut self.slot else { return QUEUE_BYTES };
        if slot.is_own() {
            return OWN_QUEUE_BYTES;
        }
        let lagging = self.queued_bytes > LAG_BYTES;
        slot.set_lagging(lagging);
        if !lagging {
            self.hold = None;
        } else if self.hold.is_none()
            && slot.has_neighbours()
            && let Some(line) = self.preamble.as_ref().and_then(Preamble::leader).and_then(Leader::hold_line)
        {
            self.hold = Some(Hold::new(Arc::clone(&slot.connection), line));
        }
        if slot.has_neighbours() { CROWDED_QUEUE_BYTES } else { QUEUE_BYTES }
    }
}

/// The signal's name without `SIG`.
fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => client::clean(name.split('@').next().unwrap_or_default()),
        known => format!("{known:?}"),
    }
}
