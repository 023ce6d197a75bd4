//! How a machine's end becomes a container's exit.
//!
//! | what happened | code | reason |
//! |---|---|---|
//! | the guest powered itself off, or was shut down in good order | 0 | `Completed` |
//! | the guest reset itself | 1 | `GuestReset` |
//! | the guest's kernel panicked | 134 | `GuestPanic` |
//! | it did not answer within its boot deadline | 124 | `GuestBootTimeout` |
//! | it answered and was not the guest that was expected | 126 | `GuestIdentityMismatch` |
//! | it answered and refused the login | 126 | `GuestLoginRefused` |
//! | it could not be given what the pod asks for (a sysctl) | 128 | `StartError` |
//! | the grace period was over and it was forced off | 137 | `Killed` |
//! | its process ended without a word | 255 | `MachineLost` |
//! | it could not be started at all | 128 | `StartError` |
//!
//! A process ends by itself with its own code (128 and the signal's number where a signal ended it), as `Completed`,
//! `Error` or `OOMKilled`. With its machine it ends as the machine did, but for a machine that ended well, which is
//! no success of the process: 137, `MachineEnded`. One whose guest booted anew is 255, `ProcessLost`.

use guests::process::ProcessExit;
use machines::{Cause, Ended};

use crate::store::ExitRecord;

/// The reason of a container that could not be started.
pub(super) const START_ERROR: &str = "StartError";

/// Why the daemon itself ended a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The boot deadline passed; the text says what was seen last.
    BootTimeout(String),
    /// The guest is not the one that was expected; the text says how that was seen.
    IdentityMismatch(String),
    /// The guest lets nobody in; the text says as whom and how that was tried.
    LoginRefused(String),
    /// The guest cannot be made what the pod asks for; the text says what and why.
    Unfit(String),
}

/// The exit of a container whose machine has ended: by itself, or because the daemon gave it up.
pub(super) fn exit(ended: &Ended, gave_up: Option<&GaveUp>) -> ExitRecord {
    let (code, reason, message) = match (gave_up, ended.cause) {
        (Some(GaveUp::BootTimeout(seen)), _) => (
            124,
            "GuestBootTimeout",
            format!("the guest did not answer within its boot deadline; last seen: {seen}"),
        ),
        (Some(GaveUp::IdentityMismatch(why)), _) => (
            126,
            "GuestIdentityMismatch",
            format!("the guest is not the one that was expected: {why}; correct the image's `host-keys`"),
        ),
        (Some(GaveUp::LoginRefused(why)), _) => (
            126,
            "GuestLoginRefused",
            format!("the guest refused the login: {why}; correct the image's `user` and `credential`"),
        ),
        (Some(GaveUp::Unfit(why)), _) => (128, START_ERROR, why.clone()),
        (None, Cause::PoweredOff) => (0, "Completed", ended.message.clone()),
        (None, Cause::Reset) => (1, "GuestReset", ended.message.clone()),
        (None, Cause::Panicked) => (134, "GuestPanic", ended.message.clone()),
        (None, Cause::Forced) => (137, "Killed", ended.message.clone()),
        (None, Cause::Lost) => (255, "MachineLost", ended.message.clone()),
    };
    ExitRecord { code, reason: reason.to_owned(), message, at: super::nanos(ended.at) }
}

/// The exit of a process that ended. Its last words are told once: here, but where they are `kept` elsewhere.
pub(super) fn process_exit(exit: &ProcessExit, kept: bool) -> ExitRecord {
    let reason = match exit {
        ProcessExit { oom: true, .. } => "OOMKilled",
        ProcessExit { code: 0, .. } => "Completed",
        _ => "Error",
    };
    let message = if kept { String::new() } else { exit.message.clone() };
    ExitRecord { code: exit.code, reason: reason.to_owned(), message, at: super::nanos(exit.at) }
}

/// The exit of a process whose guest no longer knows it.
pub(super) fn process_lost(why: &str) -> ExitRecord {
    let message = format!("the process is gone: {why}");
    ExitRecord { code: 255, reason: "ProcessLost".to_owned(), message, at: super::now() }
}

/// The exit of a process whose machine has ended like this.
pub(super) fn with_machine(machine: &ExitRecord) -> ExitRecord {
    if machine.code != 0 {
        return machine.clone();
    }
    let message = format!("the pod's machine has ended under the process: {}", machine.message);
    ExitRecord { code: 137, reason: "MachineEnded".to_owned(), message, at: machine.at }
}

/// The exit of a process that was stopped before its guest had started it.
pub(super) fn never_began() -> ExitRecord {
    let message = "it was stopped before its guest could start it".to_owned();
    ExitRecord { code: 137, reason: "Killed".to_owned(), message, at: super::now() }
}

/// The exit of a process whose machine does not run.
pub(super) fn without_machine() -> ExitRecord {
    let message = "its machine did not run".to_owned();
    ExitRecord { code: 137, reason: "Killed".to_owned(), message, at: super::now() }
}

/// The exit of a container that could not be started.
pub(super) fn start_error(why: &str) -> ExitRecord {
    ExitRecord { code: 128, reason: START_ERROR.to_owned(), message: why.to_owned(), at: super::now() }
}
