//! One command in the guest, from the channel to its exit.
//!
//! ```text
//!   open channel -> exec -> preamble (marker on both streams) -> running -> closed -> output handed over -> exit told
//!                                     |  caller gone, guard dropped: the group is killed by a second exec
//!                                     |  connection gone: Exit::Lost
//! ```
//!
//! - Happy path: the caller gets its [`Process`] as soon as the remote shell has told its group. Output goes from the
//!   channel through a bounded queue to the caller; the exit is told after the last output.
//! - The reader is slower than the guest: see the module above ([`super`]).
//! - Not started (`ForceCommand`, a login shell that runs nothing, a refused request): an error that quotes what was
//!   printed instead.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::pool::{self, Connection, Pool, Share, Slot};
use super::preamble::{Leader, Marker, Preamble};
use super::stdin::{self, Source};
use crate::{Error, Exit, Output, Process, Result, Stdin, Stream};

/// Messages in the caller's queue.
const OUTPUT_MESSAGES: usize = 16;

/// Unread bytes from which on the connection takes no further commands.
const LAG_BYTES: usize = 512 * 1024;

/// Unread bytes at which reading stops, where nothing else is on the connection.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Unread bytes at which reading stops although that stops neighbours too: only where the command could not be held.
const CROWDED_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What a queued message costs beside its bytes.
const MESSAGE_COST_BYTES: usize = 128;

/// How long a killed command may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that may refuse even a single channel before the guest is taken to allow none.
const CLOSED_CONNECTIONS: usize = 2;

/// A command that is to be started.
pub(super) struct Job {
    pub(super) pool: Weak<Pool>,
    pub(super) share: Share,
    pub(super) line: String,
    pub(super) marker: Marker,
    /// How long it may take to be started.
    pub(super) limit: Duration,
}

/// Runs a command to its end. The answer about its start goes to `started`; when nobody waits for that any more, the
/// command is killed.
pub(super) async fn run(job: Job, slot: Slot, stdin: Stdin, mut started: oneshot::Sender<Result<Process>>) {
    let mut running = match start(job, slot, &mut started).await {
        Ok(running) => running,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let (stdin_sender, source) = match stdin {
        Stdin::Closed => (None, Source::Closed),
        Stdin::Bytes(bytes) => (None, Source::Bytes(bytes)),
        Stdin::Piped => {
            let (sender, receiver) = mpsc::channel(OUTPUT_MESSAGES);
            (Some(sender), Source::Piped(receiver))
        }
    };
    let (output_sender, output) = mpsc::channel(OUTPUT_MESSAGES);
    let (exit_sender, exit) = oneshot::channel();
    let (guard, guarded) = oneshot::channel();
    let process = Process { stdin: stdin_sender, output, exit, guard: Some(guard) };
    if started.send(Ok(process)).is_err() {
        running.kill().await;
        return;
    }
    let feeding = Feeding(tokio::spawn(stdin::feed(Arc::clone(&running.writer), source)).abort_handle());
    let exit = running.carry(&output_sender, guarded).await;
    drop(feeding);
    drop(output_sender);
    let _ = exit_sender.send(exit);
}

/// Ends the feeding of standard input with the command.
struct Feeding(AbortHandle);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a running command waits for.
enum Event<'a> {
    Unwanted,
    SessionClosed,
    /// The caller dropped its receiver: what is queued is thrown away.
    Unread,
    Room(mpsc::Permit<'a, Output>),
    Message(Option<ChannelMsg>),
}

/// A started command.
struct Running {
    pool: Weak<Pool>,
    /// Given back as soon as the channel is closed, however long the caller takes to read the rest.
    slot: Option<Slot>,
    session_closed: watch::Receiver<bool>,
    reader: ChannelReadHalf,
    writer: Arc<ChannelWriteHalf<Msg>>,
    preamble: Preamble,
    queue: VecDeque<Output>,
    queued_bytes: usize,
    /// What was told of the end so far.
    exit: Option<Exit>,
    stdout_ended: bool,
    /// How it ended, once the channel is closed.
    ended: Option<Exit>,
    /// Held as long as its reader lags and others are on the connection.
    hold: Option<Hold>,
}

/// Keeps a command's group stopped until dropped. The stopping is itself a command in the guest that waits for the end
/// of its input, so that a connection that is lost meanwhile lets the group go on.
struct Hold {
    _release: oneshot::Sender<()>,
}

impl Hold {
    fn new(connection: Arc<Connection>, line: String) -> Self {
        let (sender, released) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let Ok(mut channel) = connection.handle.channel_open_session().await else { return };
            if channel.exec(false, line).await.is_err() {
                return;
            }
            let _ = released.await;
            if channel.eof().await.is_ok() {
                while let Some(message) = channel.wait().await {
                    if matches!(message, ChannelMsg::Close) {
                        break;
                    }
                }
            }
        });
        Self { _release: sender }
    }
}

/// Opens a channel, sends the command line and waits for the markers.
async fn start(job: Job, slot: Slot, started: &mut oneshot::Sender<Result<Process>>) -> Result<Running> {
    let deadline = Instant::now() + job.limit;
    let Some(pool) = job.pool.upgrade() else { return Err(Error::Lost("the session was closed".into())) };
    let session_closed = pool.closed();
    let (slot, channel) = open(&pool, slot, job.share, job.limit).await?;
    drop(pool);
    let (reader, writer) = channel.split();
    writer.exec(true, job.line).await.map_err(|error| pool::lost(&slot.connection, &error))?;
    let mut running = Running {
        pool: job.pool,
        slot: Some(slot),
        session_closed,
        reader,
        writer: Arc::new(writer),
        preamble: Preamble::new(&job.marker),
        queue: VecDeque::new(),
        queued_bytes: 0,
        exit: None,
        stdout_ended: false,
        ended: None,
        hold: None,
    };
    let mut unwanted = false;
    loop {
        let wait = async { if unwanted { std::future::pending().await } else { started.closed().await } };
        tokio::select! {
            () = sleep_until(deadline) => {
                running.kill().await;
                return Err(Error::Lost(format!("the guest did not start the command within {:?}", job.limit)));
            }
            // Nobody waits any more, but it can be killed only when it has told its group.
            () = wait => unwanted = true,
            message = running.reader.wait() => match running.accept(message) {
                Ok(Some(exit)) => {
                    // A program may be so quick that it ends with its markers.
                    if running.preamble.leader().is_none() {
                        return Err(running.not_started(&exit));
                    }
                    running.ended = Some(exit);
                    running.slot = None;
                    return Ok(running);
                }
                Ok(None) => {}
                Err(error) => {
                    running.kill().await;
                    return Err(error);
                }
            }
        }
        if running.preamble.leader().is_some() {
            return Ok(running);
        }
    }
}

/// Opens a channel; where the server refuses, on another connection. Nothing was run by then.
async fn open(
    pool: &Arc<Pool>,
    mut slot: Slot,
    share: Share,
    limit: Duration,
) -> Result<(Slot, russh::Channel<Msg>)> {
    let deadline = Instant::now() + limit;
    let mut closed = 0;
    loop {
        let Ok(opened) = timeout_at(deadline, slot.connection.handle.channel_open_session()).await else {
            return Err(Error::Lost(format!("the guest did not open a channel within {limit:?}")));
        };
        match opened {
            Ok(channel) => return Ok((slot, channel)),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                closed += usize::from(!slot.refused());
                if closed >= CLOSED_CONNECTIONS {
                    return Err(Error::Invalid(format!(
                        "the guest lets this user run no commands ({reason:?})"
                    )));
                }
            }
            Err(error) => return Err(pool::lost(&slot.connection, &error)),
        }
        drop(slot);
        let Ok(next) = timeout_at(deadline, pool.slot(share)).await else {
            return Err(Error::Unreachable(format!(
                "the guest refused further commands at once for {limit:?}: raise MaxSessions in its sshd_config"
            )));
        };
        slot = next?;
    }
}

impl Running {
    /// Takes what the channel brought. Gives how the command ended, once it has.
    fn accept(&mut self, message: Option<ChannelMsg>) -> Result<Option<Exit>> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                let data = self.preamble.stdout(data)?;
                self.enqueue(Stream::Stdout, data);
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                let data = self.preamble.stderr(data)?;
                self.enqueue(Stream::Stderr, data);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.exit = Some(Exit::Code(exit_status.cast_signed()));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.exit = Some(Exit::Signal(name(&signal_name)));
            }
            Some(ChannelMsg::Eof) => self.stdout_ended = true,
            Some(ChannelMsg::Failure) => {
                return Err(Error::Invalid("the guest refused to run the command (no exec allowed?)".into()));
            }
            Some(ChannelMsg::Close) => {
                let silent = || {
                    Exit::Lost("the guest closed the channel without telling how the command ended".into())
                };
                return Ok(Some(self.exit.take().unwrap_or_else(silent)));
            }
            Some(_) => {}
            None => return Ok(Some(self.cut_short())),
        }
        Ok(None)
    }

    /// The connection went away under the command. What was told before the end of output may be all or not.
    fn cut_short(&mut self) -> Exit {
        if let (Some(exit), true) = (self.exit.take(), self.stdout_ended) {
            return exit;
        }
        let why = self.slot.as_ref().and_then(|slot| slot.connection.end());
        Exit::Lost(why.unwrap_or_else(|| "the connection ended".into()))
    }

    fn not_started(&self, exit: &Exit) -> Error {
        if let Exit::Lost(why) = exit {
            return Error::Lost(why.clone());
        }
        Error::Invalid(format!(
            "the guest did not run the command ({exit:?}), it answered: {:?}; check the user's login shell and any \
             ForceCommand",
            self.preamble.noise()
        ))
    }

    fn enqueue(&mut self, stream: Stream, data: Bytes) {
        if !data.is_empty() {
            self.queued_bytes += data.len() + MESSAGE_COST_BYTES;
            self.queue.push_back(Output { stream, data });
        }
    }

    /// Carries output until the command has ended and all of it was taken, or nobody wants it any more.
    async fn carry(&mut self, output: &mpsc::Sender<Output>, guarded: oneshot::Receiver<()>) -> Exit {
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
        let lagging = self.queued_bytes > LAG_BYTES;
        slot.set_lagging(lagging);
        if !lagging {
            self.hold = None;
        } else if self.hold.is_none()
            && slot.has_neighbours()
            && let Some(line) = self.preamble.leader().and_then(Leader::hold_line)
        {
            self.hold = Some(Hold::new(Arc::clone(&slot.connection), line));
        }
        if slot.has_neighbours() { CROWDED_QUEUE_BYTES } else { QUEUE_BYTES }
    }

    /// Kills the command's group by a second exec, waits a bounded moment until it is gone, and closes the channel.
    async fn kill(&mut self) {
        let Some(slot) = &self.slot else { return };
        if let Some(leader) = self.preamble.leader() {
            let line = leader.kill_line();
            tracing::debug!(?leader, "killing a command in the guest");
            let connection = Arc::clone(&slot.connection);
            let pool = self.pool.clone();
            let kill = async move {
                if second_exec(&connection.handle, &line).await.is_err()
                    && let Some(pool) = pool.upgrade()
                    && let Ok(slot) = pool.slot(Share::Shared).await
                {
                    let _ = second_exec(&slot.connection.handle, &line).await;
                }
            };
            let drained = async {
                while let Some(message) = self.reader.wait().await {
                    if matches!(message, ChannelMsg::Close) {
                        return true;
                    }
                }
                true
            };
            let both = async { tokio::join!(kill, drained) };
            if timeout(KILL_TIMEOUT, both).await.is_ok() {
                self.slot = None;
                return;
            }
            tracing::warn!(?leader, "a command in the guest was not seen to die in time");
        }
        let _ = self.writer.close().await;
        self.slot = None;
    }
}

/// Runs a line of our own whose output is of no interest.
async fn second_exec(
    handle: &russh::client::Handle<super::client::Client>,
    line: &str,
) -> Result<(), russh::Error> {
    let mut channel = handle.channel_open_session().await?;
    channel.exec(false, line).await?;
    while let Some(message) = channel.wait().await {
        if matches!(message, ChannelMsg::Close) {
            break;
        }
    }
    Ok(())
}

/// The signal's name without `SIG`.
fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => super::client::clean(name.split('@').next().unwrap_or_default()),
        known => format!("{known:?}"),
    }
}
