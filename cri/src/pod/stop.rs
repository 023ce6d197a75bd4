//! How a machine's end becomes a container's exit.
//!
//! | what happened | code | reason |
//! |---|---|---|
//! | the guest powered itself off, or was shut down in good order | 0 | `Completed` |
//! | the machine was there before, and was released | 0 | `Completed` |
//! | the guest reset itself | 1 | `GuestReset` |
//! | the guest's kernel panicked | 134 | `GuestPanic` |
//! | it did not answer within its boot deadline | 124 | `GuestBootTimeout` |
//! | it answered and was not the guest that was expected | 126 | `GuestIdentityMismatch` |
//! | it answered and refused the login | 126 | `GuestLoginRefused` |
//! | it could not be given what the pod asks for (a sysctl) | 128 | `StartError` |
//! | the grace period was over and it was forced off | 137 | `Killed` |
//! | the node's kernel killed its process for want of memory | 137 | `OOMKilled` |
//! | its process ended without a word | 255 | `MachineLost` |
//! | the machine was there before, and has been silent for longer than its entry says | 255 | `MachineGone` |
//! | it could not be started at all | 128 | `StartError` |
//!
//! A process ends by itself with its own code (128 and the signal's number where a signal ended it), as `Completed`,
//! `Error` or `OOMKilled`. With its machine it ends as the machine did, but for a machine that ended well, which is
//! no success of the process: 137, `MachineEnded`. One whose guest booted anew is 255, `ProcessLost`.

use guests::process::ProcessExit;
use machines::{Cause, Ended};

use crate::store::ExitRecord;

/// The exit code of a process that was ended by `KILL`.
const KILLED: i32 = 137;
/// What is told of a process that did not obey its stop signal.
const STILL_RAN: &str = "the process still ran when its grace period was over, and was killed";
/// The reason of a container that could not be started.
pub(super) const START_ERROR: &str = "StartError";

/// Why the daemon itself ended a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The boot deadline passed; the text says what was seen last.
    BootTimeout(String),
    /// The guest is not the one that was expected; the text says how that was seen, and what to do.
    IdentityMismatch(String),
    /// The guest lets nobody in; the text says as whom and how that was tried.
    LoginRefused(String),
    /// The machine was there before, and is silent or away; the text says which, and what to do.
    Gone(String),
    /// The machine was there before, and is another one now; the text says how that was seen, and what to do.
    Changed(String),
    /// The guest cannot be made what the pod asks for; the text says what and why.
    Unfit(String),
}

/// The exit of a container whose machine has ended: by itself, because the daemon gave it up, or because it was asked to stop
/// by then.
pub(super) fn exit(ended: &Ended, gave_up: Option<&GaveUp>, stop_by: Option<i64>) -> ExitRecord {
    let at = super::nanos(ended.at);
    let left = stop_by.map(|by| (by - at).div_euclid(1_000_000_000));
    let (code, reason, message) = match (gave_up, ended.cause, left) {
        (Some(GaveUp::BootTimeout(seen)), ..) => (
            124,
            "GuestBootTimeout",
            format!("the guest did not answer within its boot deadline; last seen: {seen}"),
        ),
        (Some(GaveUp::IdentityMismatch(why)), ..) => {
            (126, "GuestIdentityMismatch", format!("the guest is not the one that was expected: {why}"))
        }
        (Some(GaveUp::LoginRefused(why)), ..) => (
            126,
            "GuestLoginRefused",
            format!(
                "the guest refused the login: {why}; correct the image's `user` and `credential`, or the pod's Secret"
            ),
        ),
        (Some(GaveUp::Gone(why)), ..) => (255, "MachineGone", why.clone()),
        (Some(GaveUp::Changed(why)), ..) => (126, "GuestIdentityMismatch", why.clone()),
        (Some(GaveUp::Unfit(why)), ..) => (128, START_ERROR, why.clone()),
        (None, Cause::PoweredOff, Some(left @ 0..)) => (
            0,
            "Completed",
            format!(
                "the guest shut itself down when it was asked to, {left} s before its grace period was over"
            ),
        ),
        (None, Cause::Forced, Some(..=0)) => (
            137,
            "Killed",
            "the guest had not shut itself down when its grace period was over, and was forced off"
                .to_owned(),
        ),
        (None, Cause::PoweredOff | Cause::Released, _) => (0, "Completed", ended.message.clone()),
        (None, Cause::Reset, _) => (1, "GuestReset", ended.message.clone()),
        (None, Cause::Panicked, _) => (134, "GuestPanic", ended.message.clone()),
        (None, Cause::Forced, _) => (137, "Killed", ended.message.clone()),
        (None, Cause::OutOfMemory, _) => (137, "OOMKilled", ended.message.clone()),
        (None, Cause::Lost, _) => (255, "MachineLost", ended.message.clone()),
    };
    ExitRecord { code, reason: reason.to_owned(), message, at }
}

/// The exit of a process that ended: by itself, or after a grace period that was `overdue`. Its last words are told once: here,
/// but where they are `kept` elsewhere.
pub(super) fn process_exit(exit: &ProcessExit, kept: bool, overdue: bool) -> ExitRecord {
    let reason = match exit {
        ProcessExit { oom: true, .. } => "OOMKilled",
        ProcessExit { code: 0, .. } => "Completed",
        _ => "Error",
    };
    let words = if kept { "" } else { &exit.message };
    let message = match (overdue && exit.code == KILLED, words) {
        (true, "") => STILL_RAN.to_owned(),
        (true, words) => format!("{STILL_RAN}: {words}"),
        (false, words) => words.to_owned(),
    };
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_end_that_was_asked_for_says_whether_it_was_in_time() {
        let told = |cause, second, stop_by: Option<i64>| {
            let ended =
                Ended { cause, at: UNIX_EPOCH + Duration::from_secs(second), message: "itself".to_owned() };
            let exit = exit(&ended, None, stop_by.map(|second| second * 1_000_000_000));
            (exit.code, exit.message)
        };
        let (code, message) = told(Cause::PoweredOff, 10, Some(30));
        assert!(code == 0 && message.ends_with(", 20 s before its grace period was over"), "{message}");
        let (code, message) = told(Cause::Forced, 31, Some(30));
        assert!(code == 137 && message.ends_with("and was forced off"), "{message}");
        // Nobody has asked, or not for that.
        for (cause, second, stop_by) in
            [(Cause::PoweredOff, 10, None), (Cause::Forced, 10, Some(30)), (Cause::Panicked, 10, Some(30))]
        {
            assert_eq!(told(cause, second, stop_by).1, "itself");
        }
    }

    #[test]
    fn a_process_that_had_to_be_killed_says_so_before_its_last_words() {
        let exit = |code, message: &str| ProcessExit {
            code,
            signal: None,
            oom: false,
            at: std::time::SystemTime::now(),
            message: message.to_owned(),
        };
        assert_eq!(process_exit(&exit(137, ""), false, true).message, STILL_RAN);
        assert_eq!(process_exit(&exit(137, "x"), false, true).message, format!("{STILL_RAN}: x"));
        assert_eq!(process_exit(&exit(3, "x"), false, true).message, "x");
        assert_eq!(process_exit(&exit(137, ""), false, false).message, "");
    }
}
