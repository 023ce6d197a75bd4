//! `ExecSync`: a command in the guest, its output and its exit code.
//!
//! Before the guest's first answer the call fails at once with `Unavailable`, which the kubelet does not count against
//! a probe. After it, a guest that is silent for the whole timeout costs `DeadlineExceeded`, which it does count. A
//! call without a timeout (a hook) waits for the boot instead.

use std::sync::Arc;
use std::time::Duration;

use proto::runtime::v1::{ExecSyncRequest, ExecSyncResponse};
use transports::{Bounds, Command, Exit, Link, Session, Stdin};

use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::{ContainerView, process_id};
use crate::store::ContainerRecord;

/// The most output of both streams together, in bytes: what the kubelet takes as one message, less some room.
const OUTPUT_LIMIT: usize = (16 << 20) - (64 << 10);
/// How long a guest that has answered before may be silent when the caller sets no timeout.
const SILENCE: Duration = Duration::from_secs(120);

/// Serves the call.
pub async fn exec_sync(node: &Node, request: ExecSyncRequest) -> Result<ExecSyncResponse> {
    let ExecSyncRequest { container_id, cmd, timeout } = request;
    let (_, container) = node.pods.container(&named(container_id, "container_id")?)?;
    if cmd.is_empty() {
        return Err(Error::invalid("the request's cmd is empty"));
    }
    let timeout = u64::try_from(timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let begun = tokio::time::Instant::now();
    let session = session(&container, timeout).await?;
    let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
    let command = command(&container.record, cmd, Stdin::Closed)?;
    let bounds = Bounds { timeout: left, limit_bytes: OUTPUT_LIMIT };
    let captured = transports::capture(session.as_ref(), command, bounds).await?;
    let exit_code = match captured.exit {
        Exit::Code(code) => code,
        Exit::Signal(name) => 128 + signal_number(&name),
        Exit::Lost(why) => {
            return Err(Error::Unavailable(format!("the guest was lost during the command: {why}")));
        }
    };
    let (stdout, stderr) = fitting(captured.stdout, captured.stderr, captured.discarded);
    Ok(ExecSyncResponse { stdout, stderr, exit_code })
}

/// What runs in the container: in a machine as the user that we log in as, beside a process as that process runs.
pub fn command(record: &ContainerRecord, argv: Vec<String>, stdin: Stdin) -> Result<Command> {
    match record.process() {
        None => Ok(Command { argv, stdin }),
        Some(_) => Ok(guests::process::inside(&process_id(&record.id)?, &argv, stdin)),
    }
}

/// The output as far as the kubelet takes it, with a word at its end where something is missing.
fn fitting(mut stdout: Vec<u8>, mut stderr: Vec<u8>, discarded: u64) -> (Vec<u8>, Vec<u8>) {
    let produced = (stdout.len() + stderr.len()) as u64 + discarded;
    stdout.truncate(OUTPUT_LIMIT);
    stderr.truncate(OUTPUT_LIMIT - stdout.len());
    let cut = produced - (stdout.len() + stderr.len()) as u64;
    if cut > 0 {
        stderr.extend(format!("\ninfranetes: {cut} bytes of output past the limit were cut\n").into_bytes());
    }
    (stdout, stderr)
}

/// A session to the container's guest, as far as the caller's patience reaches.
async fn session(container: &ContainerView, timeout: Option<Duration>) -> Result<Arc<dyn Session>> {
    let record = &container.record;
    let Some(link) = container.link.as_ref().filter(|_| container.is_live()) else {
        return Err(Error::Conflict(format!(
            "container {} does not run ({:?}), so nothing can be run in it",
            record.id, record.phase
        )));
    };
    match (link.session(), container.answered, timeout) {
        (Ok(session), ..) => Ok(session),
        (Err(error), false, Some(_)) => Err(Error::Unavailable(format!("guest is booting ({error})"))),
        (Err(error), true, Some(_)) if container.is_rebooting() => {
            Err(Error::Unavailable(format!("guest is rebooting ({error})")))
        }
        (Err(_), false, None) => wait(link, container.boot_time_left(), "has not booted").await,
        (Err(_), true, timeout) => wait(link, timeout.unwrap_or(SILENCE), "is still silent").await,
    }
}

async fn wait(link: &Link, patience: Duration, what: &str) -> Result<Arc<dyn Session>> {
    let seen = link.ready(tokio::time::Instant::now() + patience).await;
    seen.map_err(|error| match error {
        transports::Error::Unreachable(seen) | transports::Error::WrongIdentity(seen) => {
            Error::TimedOut(format!("the guest {what} after {} s; last seen: {seen}", patience.as_secs()))
        }
        other => other.into(),
    })
}

/// The number of a signal by its name without `SIG`.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "TRAP" => 5,
        "ABRT" => 6,
        "BUS" => 7,
        "FPE" => 8,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_fits_one_message_and_says_what_is_missing() {
        let whole = fitting(vec![1; 10], vec![2; 10], 0);
        assert_eq!(whole, (vec![1; 10], vec![2; 10]));
        let (stdout, stderr) = fitting(vec![1; OUTPUT_LIMIT], vec![2; 100], 0);
        assert_eq!(stdout.len(), OUTPUT_LIMIT);
        assert!(String::from_utf8_lossy(&stderr).contains("100 bytes of output"));
        let (stdout, stderr) = fitting(vec![1; OUTPUT_LIMIT + 5], vec![2; 7], 30);
        assert_eq!(stdout.len(), OUTPUT_LIMIT);
        assert!(String::from_utf8_lossy(&stderr).contains("42 bytes of output"));
    }
}
