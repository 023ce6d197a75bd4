//! Carrying a command's output to its reader, until it has ended and all was handed over.
//!
//! - Happy path: question, answer, question; what an answer brings goes to the caller in order, and the exit after it.
//! - The reader lags: little is asked for, and only so often that the guest does not take the command's shell for abandoned.
//!   The caller is gone: the command is terminated.
//! - Its connection, its shell or its input is lost: [`Exit::Lost`]. Commands of other shells go on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::clixml::Clixml;
use super::super::connections::Trouble;
use super::super::reply::{self, Received};
use super::super::stdin::Feeding;
use super::Job;
use super::command::Command;
use crate::{Backoff, Error, Exit, Output, Stream};

/// Unread bytes at which no more are asked for than the command's shell needs.
const QUEUE_BYTES: usize = 1024 * 1024;

/// Unread bytes at which a shell is left to be taken for abandoned; they come in a few days.
const MOST_QUEUE_BYTES: usize = 16 * QUEUE_BYTES;

/// The longest answer to a question that only keeps the shell: the least that the protocol lets one ask for.
const KEEPING_BYTES: usize = 8 * 1024;

/// How long a command that was terminated may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A question for output that is answered sooner, with nothing, was not let wait.
const HASTY: Duration = Duration::from_secs(1);

/// The first wait after one.
const FIRST_HASTY_WAIT: Duration = Duration::from_millis(2);

/// How many streams a command has, each of which ends a moment before it.
const STREAMS: usize = 2;

type Poll = Pin<Box<dyn Future<Output = Result<String, Trouble>> + Send>>;

/// What a running command waits for.
enum Event<'a> {
    Unwanted,
    SessionClosed,
    InputLost(String),
    /// The caller dropped its receiver: what is queued is thrown away.
    Unread,
    /// The shell has not been asked for anything for long.
    Unused,
    Room(mpsc::Permit<'a, Output>),
    Answer(Result<String, Trouble>),
}

/// A started command.
pub(super) struct Running {
    pub(super) command: Command,
    closed: watch::Receiver<bool>,
    clixml: Option<Clixml>,
    queue: VecDeque<Output>,
    queued_bytes: usize,
    /// How it ended, once that is known.
    ended: Option<Exit>,
    /// The waits before a question that the guest has not let wait.
    hasty: Backoff,
    asked: Instant,
    /// The streams that have not ended.
    open: usize,
    /// Whether a question was broken off before.
    aborted: bool,
}

impl Running {
    pub(super) fn new(command: Command, job: &Job) -> Self {
        Self {
            command,
            closed: job.closed.clone(),
            clixml: job.clixml.then(Clixml::default),
            queue: VecDeque::new(),
            queued_bytes: 0,
            ended: None,
            hasty: Backoff::new(FIRST_HASTY_WAIT, HASTY),
            asked: Instant::now(),
            open: STREAMS,
            aborted: false,
        }
    }

    /// Carries output until the command has ended and all of it was taken, or nobody wants it any more.
    pub(super) async fn carry(
        &mut self,
        mut feeding: Feeding,
        output: &mpsc::Sender<Output>,
        guarded: oneshot::Receiver<()>,
    ) -> Exit {
        tokio::pin!(guarded);
        let unused = self.command.connections().options.abandoned_timeout / 3;
        let mut poll = Some(self.ask(usize::MAX, Duration::ZERO));
        loop {
            if output.is_closed() {
                self.queue.clear();
                self.queued_bytes = 0;
            }
            if let (Some(exit), true) = (&self.ended, self.queue.is_empty()) {
                return exit.clone();
            }
            let running = self.ended.is_none();
            if poll.is_none() && running && self.queued_bytes < QUEUE_BYTES {
                poll = Some(self.ask(usize::MAX, Duration::ZERO));
            }
            let lags = poll.is_none() && running && self.queued_bytes < MOST_QUEUE_BYTES;
            let event = tokio::select! {
                _ = &mut guarded => Event::Unwanted,
                _ = self.closed.wait_for(|closed| *closed), if running => Event::SessionClosed,
                why = feeding.failed(), if running => Event::InputLost(why),
                () = output.closed(), if !self.queue.is_empty() => Event::Unread,
                permit = output.reserve(), if !self.queue.is_empty() => permit.map_or(Event::Unread, Event::Room),
                () = sleep_until(self.asked + unused), if lags => Event::Unused,
                answer = answered(&mut poll), if running && poll.is_some() => Event::Answer(answer),
            };
            match event {
                Event::Unwanted if running => return self.kill(poll).await,
                Event::Unwanted => return self.ended.take().unwrap_or_else(killed),
                Event::SessionClosed => {
                    // Its shell goes with the session, and it with its shell.
                    self.command.gone();
                    self.ended = Some(Exit::Lost("the session was closed".into()));
                }
                Event::InputLost(why) => self.ended = Some(Exit::Lost(why)),
                Event::Unread => {}
                Event::Unused => poll = Some(self.ask(KEEPING_BYTES, Duration::ZERO)),
                Event::Room(permit) => {
                    if let Some(next) = self.queue.pop_front() {
                        self.queued_bytes -= next.data.len();
                        permit.send(next);
                    }
                }
                Event::Answer(answer) => {
                    poll = None;
                    if let Some(wait) = self.accept(answer)
                        && self.queued_bytes < QUEUE_BYTES
                    {
                        poll = Some(self.ask(usize::MAX, wait));
                    }
                }
            }
        }
    }

    /// A question for output, with an answer no longer than this, after a wait.
    fn ask(&mut self, most_bytes: usize, wait: Duration) -> Poll {
        let connections = Arc::clone(self.command.connections());
        let mut envelopes = connections.envelopes();
        envelopes.most_bytes = envelopes.most_bytes.min(most_bytes);
        let request = envelopes.receive(self.command.shell(), self.command.id());
        self.asked = Instant::now() + wait;
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            connections.receive(&request).await
        })
    }

    /// Takes an answer. Where nothing has happened in the guest, or the answer does not say what, gives how long to wait
    /// before it is asked again.
    fn accept(&mut self, answer: Result<String, Trouble>) -> Option<Duration> {
        let address = self.command.connections().address();
        let received = match answer {
            Ok(body) => reply::received(&body).map_err(|why| format!("{address}: {}", why.0)),
            Err(Trouble::Fault(fault)) if fault.timed_out() => Ok(Received::default()),
            Err(Trouble::Fault(fault)) if fault.aborted() && !self.aborted => {
                self.aborted = true;
                return Some(Duration::ZERO);
            }
            Err(Trouble::Fault(fault)) if fault.no_shell() => {
                self.command.place().retire();
                Err(format!("{address}: the guest has lost the command's shell (restarted?): {fault}"))
            }
            Err(Trouble::Fault(fault)) => Err(format!("{address}: the guest gives no more output: {fault}")),
            Err(Trouble::Error(Error::Lost(why)) | Trouble::Unsent(Error::Lost(why))) => Err(why),
            Err(Trouble::Error(error) | Trouble::Unsent(error)) => Err(error.to_string()),
        };
        match received {
            Err(why) => self.ended = Some(Exit::Lost(why)),
            Ok(Received { output, ended, done: false, .. }) if output.is_empty() => {
                if ended.min(self.open) > 0 {
                    self.open -= ended.min(self.open);
                    return Some(Duration::ZERO);
                }
                if self.asked.elapsed() < HASTY {
                    return Some(self.hasty.next_wait());
                }
                self.hasty.reset();
                return Some(Duration::ZERO);
            }
            Ok(received) => {
                self.hasty.reset();
                self.take_in(received);
            }
        }
        None
    }

    fn take_in(&mut self, Received { output, ended: _, done, code }: Received) {
        for Output { stream, data } in output {
            let data = match (&mut self.clixml, stream) {
                (Some(clixml), Stream::Stderr) => clixml.push(&data),
                _ => data,
            };
            self.enqueue(Output { stream, data });
        }
        if done {
            if let Some(clixml) = &mut self.clixml {
                let data = clixml.finish();
                self.enqueue(Output { stream: Stream::Stderr, data });
            }
            let silent = || Exit::Lost("the guest did not tell how the command ended".into());
            self.ended = Some(code.map_or_else(silent, Exit::Code));
        }
    }

    fn enqueue(&mut self, output: Output) {
        if !output.data.is_empty() {
            self.queued_bytes += output.data.len();
            self.queue.push_back(output);
        }
    }

    /// Ends the command, and waits a bounded moment until the guest says that it is.
    async fn kill(&mut self, poll: Option<Poll>) -> Exit {
        let until = Instant::now() + KILL_TIMEOUT;
        match timeout_at(until, self.command.terminate()).await {
            Ok(Ok(())) => {
                // The connection that waits for output can be used again once it was answered.
                if let Some(poll) = poll {
                    let _ = timeout_at(until, poll).await;
                }
                killed()
            }
            Ok(Err(error)) => Exit::Lost(error.to_string()),
            // It is tried on, aside.
            Err(_) => Exit::Lost(format!("the command was not terminated within {KILL_TIMEOUT:?}")),
        }
    }
}

/// How a command ended that was ended by us.
fn killed() -> Exit {
    Exit::Signal("KILL".into())
}

async fn answered(poll: &mut Option<Poll>) -> Result<String, Trouble> {
    match poll {
        Some(poll) => poll.await,
        None => std::future::pending().await,
    }
}
