//! A command that runs.
//!
//! ```text
//!   start -> both streams are read into bounded buffers -> exit -> streams end -> Done is told
//!        `-> terminate: the whole process group is killed, nothing more is told
//! ```
//!
//! Happy path: what is written is told by `receive` in order, then the exit code once both streams have ended. A reader that
//! does not come slows the process down and nothing else.
//! Its group can be killed until it is forgotten, whatever of it has ended, and no other group ever is: the leader stays a zombie
//! as long, so that its number is not given to another process.
//! Failure paths: a program that is not there is a [`Fault`]; a process that takes no more input, too.

mod arguments;
mod launch;
mod output;
mod wine;

pub(crate) use launch::CommandLine;
pub(crate) use output::{Told, Wanted};
pub(crate) use wine::Wine;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use tokio::io::AsyncWriteExt as _;
use tokio::io::unix::AsyncFd;
use tokio::process::ChildStdin;
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::counters::Counting;
use crate::fault::Fault;
use crate::shell::Definition;
use output::Output;

/// What Windows tells of a process that was interrupted, `STATUS_CONTROL_C_EXIT`.
const INTERRUPTED: u32 = 0xC000_013A;

/// A command that runs, or has ended and was not forgotten yet.
#[derive(Debug)]
pub(crate) struct Process {
    group: Pid,
    input: Arc<Mutex<Option<ChildStdin>>>,
    /// What is written to its input, though nobody may wait for that any longer.
    writing: std::sync::Mutex<Option<AbortHandle>>,
    output: Arc<Output>,
    readers: Vec<AbortHandle>,
    /// Dropped when it is forgotten.
    _kept: oneshot::Sender<()>,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(
        line: &CommandLine,
        shell: &Definition,
        wine: Option<&Wine>,
        counting: &Counting,
    ) -> Result<Self, Fault> {
        let (mut child, told) = line.start(shell, wine).map_err(Fault::cannot_start)?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (Some(group), Some(stdout), Some(stderr)) = (group, child.stdout.take(), child.stderr.take())
        else {
            unreachable!("a child that nobody waited for has an id, and pipes were asked for")
        };
        counting.change(|counters| counters.processes += 1);
        let output = Arc::new(Output::default());
        let readers = [
            tokio::spawn(output::read(stdout, Arc::clone(&output), |streams| &mut streams.stdout)),
            tokio::spawn(output::read(stderr, Arc::clone(&output), |streams| &mut streams.stderr)),
        ];
        let aborts = readers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        let input = Arc::new(Mutex::new(child.stdin.take()));
        let (kept, forgotten) = oneshot::channel();
        let (ending, counting) = (Arc::clone(&output), counting.clone());
        tokio::spawn(async move {
            let code = ended(group).await;
            for reader in readers {
                // Aborted where the command was terminated.
                let _ = reader.await;
            }
            let told = told.and_then(|told| told.read());
            ending.exit(told.unwrap_or_else(|| code.unwrap_or(u32::MAX)));
            counting.change(|counters| counters.processes -= 1);
            let _ = forgotten.await;
            let _ = child.wait().await;
        });
        Ok(Self { group, input, writing: std::sync::Mutex::default(), output, readers: aborts, _kept: kept })
    }

    /// Writes to its standard input; returns when the pipe has taken it. Where that takes too long it says so, goes on, and
    /// is busy until it has ended.
    pub(crate) async fn write(&self, data: Vec<u8>, end: bool, within: Duration) -> Result<(), Fault> {
        let Ok(mut input) = Arc::clone(&self.input).try_lock_owned() else { return Err(Fault::busy()) };
        let writing = tokio::spawn(async move {
            let written = match input.as_mut() {
                Some(pipe) => pipe.write_all(&data).await,
                None if data.is_empty() => Ok(()),
                None => Err(std::io::ErrorKind::BrokenPipe.into()),
            };
            if end || written.is_err() {
                *input = None;
            }
            written
        });
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = Some(writing.abort_handle());
        match timeout(within, writing).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err(Fault::pipe_closed()),
            Err(_) => Err(Fault::timed_out()),
        }
    }

    /// Waits for something to tell.
    pub(crate) async fn receive(
        &self,
        wanted: Wanted,
        within: Duration,
        counting: &Counting,
    ) -> Result<Told, Fault> {
        let _waiting = Waiting::begin(counting);
        let deadline = Instant::now() + within;
        loop {
            let changed = self.output.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(told) = self.output.take(wanted)? {
                return Ok(told);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(Fault::timed_out());
            }
        }
    }

    /// Whether its exit is known.
    pub(crate) fn ended(&self) -> bool {
        self.output.ended()
    }

    /// Interrupts all of its processes, as Ctrl-C in a console does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills all of its processes.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::KILL);
        self.output.abort();
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for task in self.readers.iter().chain(&*writing) {
            task.abort();
        }
    }

    fn signal(&self, signal: Signal) {
        // That none is left is what is wanted.
        let _ = kill_process_group(self.group, signal);
    }
}

/// Waits until a process ends, and leaves it a zombie. Answers its exit code as Windows would tell it; what has no counterpart
/// there is told as `sh` does.
#[expect(
    deprecated,
    reason = "the successor of `AsyncFd::new` is `unsafe` for descriptors that may change; an `OwnedFd` keeps its own"
)]
async fn ended(process: Pid) -> std::io::Result<u32> {
    let descriptor = AsyncFd::new(pidfd_open(process, PidfdFlags::empty())?)?;
    let _ended = descriptor.readable().await?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(process), options)?;
    let signal = status.as_ref().and_then(rustix::process::WaitIdStatus::terminating_signal);
    Ok(match (status.and_then(|status| status.exit_status()), signal) {
        (Some(code), _) => code.cast_unsigned(),
        (None, Some(signal)) if signal == Signal::INT.as_raw() => INTERRUPTED,
        (None, signal) => 128 + signal.unwrap_or_default().cast_unsigned(),
    })
}

/// A `Receive` that waits, which is counted.
struct Waiting<'a>(&'a Counting);

impl<'a> Waiting<'a> {
    fn begin(counting: &'a Counting) -> Self {
        counting.change(|counters| counters.receives_waiting += 1);
        Self(counting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|counters| counters.receives_waiting -= 1);
    }
}
