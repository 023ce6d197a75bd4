//! Processes in a guest, supervised without an agent.
//!
//! ```text
//!   start --one exec--> supervisor (sh, detached) --> launch --exec--> the program
//!                          |  pump o, pump e: FIFO -> segments o.N, e.N (bounded; a full one slows the program down)
//!                          `- writes down how it ended, kills what is left
//!   follow --> follower (sh) --segments by offset--> OutputStream     release: what is written down may be dropped
//!
//!   Absent --start--> Running --the program ends--> Exited --remove--> Absent       a reboot: Absent
//! ```
//!
//! Everything of a process is in one private directory of the guest, below `/run/infranetes` (else `/dev/shm` or `/tmp`),
//! whose path holds the id of the boot: what an earlier boot left is not found, and removed. The scripts that read it
//! share `sh/functions.sh`, which lies in it. A directory is made by `mkdir`, once: that is the claim by which a repeated
//! start finds the first.
//!
//! - Happy path: [`Guest::start`] sends everything on the standard input of one command, so neither its length is bounded
//!   by a command line nor a secret is seen in one. The supervisor belongs to no session; a lost connection touches
//!   nothing. [`Guest::follow`] tells the output from any [`Offset`], each byte once, then the exit.
//! - Nobody reads: the pumps stop at a few MiB a stream, and the pipe then slows the program down. Nothing is thrown away.
//! - The supervisor is killed: a follower sees the end of a FIFO that only the supervisor holds, another call sees that
//!   the process of its number and start is gone. Whoever sees it kills the program and writes down the exit (code 137).
//! - A limit: the program has a control group of its own (v2, also mounted where nobody did; else v1), which also holds what
//!   it starts and tells that memory ran out; a limit changes there while it runs. Without one its processes are known by a mark in their environment and by
//!   their session, and a limit is refused: what is asked for and not there would be found out too late.
//! - The guest lacks something (a program, control groups for a limit, a way to become another user):
//!   [`Error::Unsupported`](crate::Error::Unsupported) that names it, and nothing was started.
//!
//! A signal is told by the code: a shell shows `128+n` for a program that signal `n` ended, and the same for one that
//! exits with that code itself. What the guest's own server ignores (`INT` and `QUIT`, where a script started it with `&`),
//! every process of it ignores: no shell can undo that.

mod capabilities;
mod control;
mod launch;
mod posix;
mod spec;
mod stdio;
mod stream;
mod systemd;
mod windows;

pub use capabilities::Capabilities;
pub use posix::Posix;
pub use spec::{Limits, ProcessId, ProcessSpec, StdinMode, User};
pub use stdio::{end_stdin, inside, resize, stdin};
pub use stream::{Event, Offset, OutputStream};
pub use systemd::Systemd;
pub use windows::Windows;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use transports::Session;

use crate::script::Guard;
use crate::{Error, Family, Result};

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// The guest knows nothing of it: never started, removed, or of an earlier boot.
    Absent,
    /// It runs.
    Running {
        /// Its number in the guest.
        pid: u32,
        /// When it began, by the guest's clock, to the second.
        started_at: SystemTime,
        /// Whom it began as; none where an earlier version of this program started it.
        identity: Option<Identity>,
    },
    /// It has ended.
    Exited(ProcessExit),
}

/// Whom a process runs as, by the numbers of its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups, the primary one among them.
    pub groups: Vec<u32>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessExit {
    /// Its exit code; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// The signal that ended it, as far as the code tells.
    pub signal: Option<u32>,
    /// Whether the guest's kernel killed one of its processes for want of memory.
    pub oom: bool,
    /// When it ended, by the guest's clock, to the second.
    pub at: SystemTime,
    /// What it left as its termination message; at most [`MAX_MESSAGE_BYTES`].
    pub message: String,
}

/// The longest termination message in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// A family of guests.
#[async_trait]
pub trait Guest: Send + Sync + std::fmt::Debug {
    /// The family's name.
    fn name(&self) -> &'static str;

    /// Starts a process, once: a repeated call for the same id finds the first one, whatever became of it.
    async fn start(&self, session: &dyn Session, spec: &ProcessSpec) -> Result<ProcessState>;

    /// What became of it.
    async fn state(&self, session: &dyn Session, id: &ProcessId) -> Result<ProcessState>;

    /// Follows its output from `from` (`None`: from the oldest that the guest still has) to its exit.
    async fn follow(
        &self,
        session: Arc<dyn Session>,
        id: &ProcessId,
        from: Option<Offset>,
    ) -> Result<OutputStream>;

    /// Sends a signal, named without `SIG`: `KILL` to all of its processes, any other to its main process. None is left
    /// to be signalled: a success.
    async fn signal(&self, session: &dyn Session, id: &ProcessId, signal: &str) -> Result<()>;

    /// Sets what it and all that it starts may use from now on; a limit that is absent is lifted. What cannot be kept is
    /// refused, and so is less memory than the process holds, for which the kernel would kill it.
    async fn limit(&self, session: &dyn Session, id: &ProcessId, limits: &Limits) -> Result<()>;

    /// Ends whatever is left of it and removes all traces. An absent one is a success.
    async fn remove(&self, session: &dyn Session, id: &ProcessId) -> Result<()>;
}

pub(crate) use windows::remove_all as remove_all_of_windows;

/// Ends and removes every process in a guest that was started here, by whomever, for as long as the guard lets that be done.
pub(crate) async fn remove_all(session: &dyn Session, guard: Guard<'_>) -> Result<()> {
    control::remove_all(session, guard).await
}

/// Asks how processes are supervised in a guest. To be asked once a boot.
pub async fn detect(session: &dyn Session, family: Family) -> Result<Arc<dyn Guest>> {
    match family {
        Family::Unix => linux(session).await,
        Family::Windows => Ok(Arc::new(Windows)),
    }
}

async fn linux(session: &dyn Session) -> Result<Arc<dyn Guest>> {
    let family = control::family(session).await?;
    if family == "posix" {
        return Ok(Arc::new(Posix));
    }
    match family.strip_prefix("systemd ").and_then(|version| version.parse().ok()) {
        Some(version) => Ok(Arc::new(Systemd::new(version))),
        None => Err(Error::Unsupported(format!("processes cannot be run in this guest: {family}"))),
    }
}
