//! One command in the guest, from the channel to its exit.
//!
//! ```text
//!   open channel -> exec -> preamble (marker on both streams) -> running -> closed -> output handed over -> exit told
//!   `---------------- start -----------------------------------'`------------------- carry -----------------------'
//!                                     |  caller gone, guard dropped: the group is killed by a second exec (kill),
//!                                     |     in a guest with Windows by a signal on the channel
//!                                     |  connection gone: Exit::Lost
//! ```
//!
//! - Happy path: the caller gets its [`Process`] as soon as the remote shell has told its group. Output goes from the
//!   channel through a bounded queue to the caller; the exit is told after the last output.
//! - The reader is slower than the guest: see the module above ([`super`]).
//! - Not started (`ForceCommand`, a login shell that runs nothing, a refused request): an error that quotes what was
//!   printed instead.

mod carry;
mod kill;
mod start;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::pool::{Pool, Share, Slot};
use super::preamble::{Leader, Marker, Preamble};
use super::spare::Spare;
use super::stdin::{self, Source};
use crate::winrm::{Clixml, is_powershell};
use crate::{Exit, Output, Process, Result, Size, Stdin, quote};
use kill::Hold;

/// Messages in the caller's queue.
const OUTPUT_MESSAGES: usize = 16;

/// A command that is to be started.
pub(super) struct Job {
    pub(super) pool: Weak<Pool>,
    pub(super) share: Share,
    pub(super) argv: Vec<String>,
    /// The command line for any login shell.
    pub(super) line: String,
    /// None where `cmd` is the login shell, which tells nothing before the program does.
    pub(super) marker: Option<Marker>,
    /// The sizes of its terminal, where it has one.
    pub(super) terminal: Option<watch::Receiver<Size>>,
    /// How long it may take to be started.
    pub(super) limit: Duration,
}

impl Job {
    /// The command line for a POSIX login shell that leads its process group; none for a command on a terminal, nor for `cmd`.
    pub(super) fn leaders_line(&self) -> Option<String> {
        let marker = self.marker.as_ref().filter(|_| self.terminal.is_none())?;
        quote::posix_command_line(&marker.leaders_script(), &self.argv).ok()
    }

    /// Whether it writes its errors as CLIXML.
    fn writes_clixml(&self) -> bool {
        self.marker.is_none() && self.terminal.is_none() && is_powershell(&self.argv[0])
    }
}

/// Where a command is started.
pub(super) enum Place {
    /// On a place of a connection, by a shell of its own.
    Free(Slot),
    /// By this shell, which waits for this line.
    Spare(Spare, String),
}

/// Runs a command to its end. The answer about its start goes to `started`; when nobody waits for that any more, the
/// command is killed.
pub(super) async fn run(job: Job, place: Place, stdin: Stdin, mut started: oneshot::Sender<Result<Process>>) {
    let terminal = job.terminal.clone();
    let mut running = match Box::pin(start::start(job, place, &mut started)).await {
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
    let feeding = Aside::new(stdin::feed(Arc::clone(&running.writer), source, terminal.is_none()));
    let resizing = terminal.map(|sizes| Aside::new(resize(Arc::clone(&running.writer), sizes)));
    let exit = running.carry(&output_sender, guarded).await;
    drop((feeding, resizing));
    drop(output_sender);
    let _ = exit_sender.send(exit);
}

/// Tells the guest each new size of the terminal.
async fn resize(channel: Arc<ChannelWriteHalf<Msg>>, mut sizes: watch::Receiver<Size>) {
    while sizes.changed().await.is_ok() {
        let Size { columns, rows } = *sizes.borrow_and_update();
        if channel.window_change(columns.into(), rows.into(), 0, 0).await.is_err() {
            return;
        }
    }
}

/// A task beside the command that ends with it.
struct Aside(AbortHandle);

impl Aside {
    fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A started command.
struct Running {
    pool: Weak<Pool>,
    /// Given back as soon as the channel is closed, however long the caller takes to read the rest.
    slot: Option<Slot>,
    session_closed: watch::Receiver<bool>,
    reader: ChannelReadHalf,
    writer: Arc<ChannelWriteHalf<Msg>>,
    preamble: Option<Preamble>,
    clixml: Option<Clixml>,
    /// Whether the server said that it runs the command.
    accepted: bool,
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

impl Running {
    fn new(job: &Job, pool: &Pool, slot: Slot, channel: (ChannelReadHalf, ChannelWriteHalf<Msg>)) -> Self {
        let (reader, writer) = channel;
        Self {
            pool: job.pool.clone(),
            slot: Some(slot),
            session_closed: pool.closed(),
            reader,
            writer: Arc::new(writer),
            preamble: job.marker.as_ref().map(Preamble::new),
            clixml: job.writes_clixml().then(Clixml::default),
            accepted: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            exit: None,
            stdout_ended: false,
            ended: None,
            hold: None,
        }
    }

    /// Whom to kill or to hold, where the remote shell has told that.
    fn leader(&self) -> Option<Leader> {
        self.preamble.as_ref()?.leader()
    }

    /// Whether the program is about to start, or has started.
    fn has_started(&self) -> bool {
        if self.preamble.is_some() { self.leader().is_some() } else { self.accepted }
    }
}
