//! The task that watches one running machine.
//!
//! ```text
//!   attach --> Running --(event: power-off, reset, panic)--> record the reason --> quit QEMU --> Ended(reason)
//!                 |                                                                                ^
//!                 +--(the monitor's connection ends)--> the process has ended --> the record, or Lost
//! ```
//!
//! Happy path: QEMU pauses when its guest has ended, so nothing is lost between the event and its durable record; then
//! the process is told to quit.
//!
//! Failure paths: a reason that came while no daemon listened is read from the journal, to which QEMU itself writes
//! every event. A process that ended without a word is `Lost`, unless a record (of a forced stop) stands. A monitor
//! that breaks the protocol while its process lives is not a machine that can be controlled: it is killed. An end that
//! cannot be recorded, since the disk is full, is told all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::config::User;
use super::directory::{Directory, ended_now};
use super::meter::Meter;
use super::process::{Process, last_words};
use super::qmp::Qmp;
use super::{bound, cgroup, stall, tpm};
use crate::{Cause, Ended, MachineState, Result};

/// How long a monitor may take to answer. An emulated guest on a busy node delays it, so it is generous.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long a process may take to end once it was told to.
const QUIT: Duration = Duration::from_secs(5);
/// How long a process that is forced off may take to end by itself.
const FORCE: Duration = Duration::from_secs(1);
/// Two resets closer than this are one: the firmware makes a second one of its own.
const RESET_PAIR: Duration = Duration::from_secs(1);
/// The bound of QEMU's own complaints and of the journal, in bytes each.
const LOG_LIMIT: u64 = 256 << 10;

/// What the events have told so far, and whoever forces the machine off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    resets: u32,
    /// How often it came to stand still because a write found no space.
    pub(crate) stalls: u32,
    /// How often its balloon has changed.
    balloon: u32,
    end: Option<Cause>,
}

/// A running machine that is being watched. Dropping it ends the watch, not the machine.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// The monitor.
    pub(crate) qmp: Arc<Qmp>,
    /// What measures it.
    pub(crate) meter: Arc<Meter>,
    process: Arc<Process>,
    telling: watch::Sender<Told>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to a machine that is not watched yet.
#[derive(Debug)]
pub(crate) struct Attached {
    qmp: Qmp,
    telling: watch::Sender<Told>,
    /// Whether the processors were ever let go.
    pub(crate) begun: bool,
}

impl Attached {
    /// Connects, and makes sure that the machine behind the socket is the right one.
    pub(crate) async fn new(directory: &Directory, uuid: &str) -> Result<Self> {
        let telling = watch::Sender::new(Told::default());
        let told = telling.clone();
        let mut last_reset: Option<Instant> = None;
        let on_event = move |event: &str, data: &Value| {
            let is_reset = event == "RESET" && data["guest"] == true;
            let counts = is_reset && last_reset.is_none_or(|last| last.elapsed() > RESET_PAIR);
            if counts {
                last_reset = Some(Instant::now());
            }
            let stalls = event == "BLOCK_IO_ERROR" && data["action"] == "stop";
            let balloon = event == "BALLOON_CHANGE";
            let end = end_of(event, data);
            told.send_if_modified(|told| {
                told.resets = told.resets.saturating_add(u32::from(counts));
                told.stalls = told.stalls.wrapping_add(u32::from(stalls));
                told.balloon = told.balloon.wrapping_add(u32::from(balloon));
                told.end = told.end.or(end);
                counts || stalls || balloon || end.is_some()
            });
        };
        let failed = |error| directory.failed("cannot talk to its monitor", error);
        let qmp = Qmp::connect(&directory.qmp_socket(), ANSWER, on_event).await.map_err(failed)?;
        let found = qmp.execute("query-uuid", json!({}), ANSWER).await.map_err(failed)?;
        if found["UUID"] != uuid {
            return Err(directory.failure("its monitor belongs to another machine"));
        }
        let status = qmp.execute("query-status", json!({}), ANSWER).await.map_err(failed)?;
        let status = status["status"].as_str().unwrap_or_default();
        let end = match status {
            "shutdown" => {
                let told = directory.work(|directory| Ok(ended_while_away(directory))).await?;
                Some(told.unwrap_or(Cause::PoweredOff))
            }
            "guest-panicked" => Some(Cause::Panicked),
            _ => None,
        };
        telling.send_modify(|told| {
            told.stalls += u32::from(status == "io-error");
            told.end = told.end.or(end);
        });
        Ok(Self { qmp, telling, begun: status != "prelaunch" })
    }

    /// Lets the processors go.
    pub(crate) async fn begin(&mut self, directory: &Directory) -> Result<()> {
        let begun = self.qmp.execute("cont", json!({}), ANSWER).await;
        begun.map_err(|error| directory.failed("cannot be let go", error))?;
        self.begun = true;
        Ok(())
    }

    /// Begins to watch, and tells `state` from now on.
    pub(crate) fn watch(
        self,
        directory: Directory,
        process: Process,
        state: watch::Sender<MachineState>,
        user: User,
        console_bytes: u64,
    ) -> Watcher {
        state.send_replace(MachineState::Running { resets: self.telling.borrow().resets });
        let (qmp, process) = (Arc::new(self.qmp), Arc::new(process));
        let watched = (Arc::clone(&qmp), Arc::clone(&process));
        let meter = Arc::new(Meter::new(Arc::clone(&qmp), Arc::clone(&process), directory.clone()));
        let told = self.telling.subscribe();
        let task = tokio::spawn(async move {
            let files = vec![
                (directory.console_log(), console_bytes),
                (directory.file("qemu.log"), LOG_LIMIT),
                (directory.file("events.log"), LOG_LIMIT),
                (directory.file(tpm::LOG), LOG_LIMIT),
            ];
            let ended = tokio::select! {
                ended = until_end(&directory, &watched.0, &watched.1, told.clone(), &state) => ended,
                never = bound::keep_bounded(directory.id(), files) => match never {},
                never = stall::keep_going(directory.id(), &watched.0, told) => match never {},
            };
            if let Err(error) = tpm::end(&directory, user).await {
                tracing::error!(machine = %directory.id(), %error, "the machine has ended, its TPM has not");
            }
            tracing::info!(machine = %directory.id(), cause = ?ended.cause, "the machine has ended");
            state.send_replace(MachineState::Ended(ended));
        });
        Watcher { qmp, meter, process, telling: self.telling, task }
    }
}

impl Watcher {
    /// Whether the machine's end was told.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// What its events tell from now on.
    pub(crate) fn told(&self) -> watch::Receiver<Told> {
        self.telling.subscribe()
    }

    /// Forces the machine off. The watch records that, unless it knows another reason already, and ends the process;
    /// whatever it waits for, the process is killed after a moment.
    pub(crate) async fn end(&mut self, directory: &Directory) -> Result<()> {
        self.telling.send_modify(|told| told.end = told.end.or(Some(Cause::Forced)));
        if tokio::time::timeout(FORCE, &mut self.task).await.is_ok() {
            return Ok(());
        }
        self.process.kill().map_err(|error| directory.failed("cannot end its process", error))?;
        match tokio::time::timeout(QUIT, &mut self.task).await {
            Ok(_) => Ok(()),
            Err(_) => Err(directory.failure("its end was not told in time")),
        }
    }
}

async fn until_end(
    directory: &Directory,
    qmp: &Qmp,
    process: &Process,
    mut told: watch::Receiver<Told>,
    state: &watch::Sender<MachineState>,
) -> Ended {
    loop {
        let now = *told.borrow_and_update();
        if let Some(cause) = now.end {
            let ended = directory.record_end(ended_now(cause, words(cause))).await;
            end_process(directory, qmp, process).await;
            return ended;
        }
        state.send_if_modified(|state| {
            let running = MachineState::Running { resets: now.resets };
            let changed = *state != running;
            *state = running;
            changed
        });
        tokio::select! {
            biased;
            changed = told.changed(), if told.has_changed().is_ok() => drop(changed),
            () = qmp.closed() => {
                if told.borrow().end.is_some() {
                    continue;
                }
                end_process(directory, qmp, process).await;
                let cause = cause_of_loss(directory).await;
                let said = directory.work(|directory| Ok(last_words(&directory.file("qemu.log")))).await;
                let said = said.unwrap_or_default();
                let mut message = words(cause).to_owned();
                if !said.is_empty() {
                    message.push_str("; QEMU said: ");
                    message.push_str(&said);
                }
                return directory.record_end(ended_now(cause, message)).await;
            }
        }
    }
}

/// Why a process ended without a word.
pub(crate) async fn cause_of_loss(directory: &Directory) -> Cause {
    let killed = directory.work(|directory| {
        let groups = directory.run_record()?.map(|record| record.cgroups).unwrap_or_default();
        Ok(cgroup::ran_out_of_memory(&groups, directory.id()))
    });
    if killed.await.unwrap_or(false) { Cause::OutOfMemory } else { Cause::Lost }
}

/// Ends a process that may have ended already. One that cannot be ended is found again by the next call.
async fn end_process(directory: &Directory, qmp: &Qmp, process: &Process) {
    // A process that goes at once closes the connection instead of answering.
    let _ = qmp.execute("quit", json!({}), QUIT).await;
    if let Err(error) = kill_process(directory, process, QUIT).await {
        tracing::error!(machine = %directory.id(), %error, "the machine has ended, its process has not");
    }
}

/// Waits for a process to end, and kills it if it does not.
pub(crate) async fn kill_process(directory: &Directory, process: &Process, patience: Duration) -> Result<()> {
    let failed = |error| directory.failed("cannot end its process", error);
    if process.ended(patience).await.map_err(failed)? {
        return Ok(());
    }
    process.kill().map_err(failed)?;
    if process.ended(QUIT).await.map_err(failed)? {
        return Ok(());
    }
    Err(directory.failure(format!("its process {} does not end though it was killed", process.record.pid)))
}

pub(crate) fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::PoweredOff => "the guest powered itself off",
        Cause::Reset => "the guest reset itself",
        Cause::Panicked => "the guest's kernel reported a panic",
        Cause::Forced => "it was forced off",
        Cause::OutOfMemory => {
            "the node's kernel killed it, for its pod, or the node, had no memory left: the guest's memory and what QEMU \
             itself needs may be more than the pod's limit and the overhead of its RuntimeClass"
        }
        Cause::Released => "it was released", // never of a machine that was made
        Cause::Lost => "its process ended without a word from the guest",
    }
}

/// The end of a guest that an event tells.
fn end_of(event: &str, data: &Value) -> Option<Cause> {
    match (event, data["reason"].as_str()) {
        ("SHUTDOWN", Some("guest-shutdown")) => Some(Cause::PoweredOff),
        ("SHUTDOWN", Some("guest-reset")) => Some(Cause::Reset),
        ("SHUTDOWN", Some("guest-panic")) | ("GUEST_PANICKED", _) => Some(Cause::Panicked),
        _ => None,
    }
}

/// The last end in the journal.
fn ended_while_away(directory: &Directory) -> Option<Cause> {
    let journal = bound::tail(&directory.file("events.log"), LOG_LIMIT).ok()?;
    let events = journal.split(|&byte| byte == b'\n').rev();
    let mut ends = events.filter_map(|line| {
        let event: Value = serde_json::from_slice(line).ok()?;
        end_of(event["event"].as_str()?, &event["data"])
    });
    ends.next()
}
