//! `ExecSync`: a command in the guest, its output and its exit code.
//!
//! What a guest that has not answered costs stands in [`super::session`].

use std::time::Duration;

use proto::runtime::v1::{ExecSyncRequest, ExecSyncResponse};
use tracing::Instrument;
use transports::{Bounds, Stdin};

use super::exit::exit_code;
use super::session::{begun, inside, session};
use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::Pods;

/// The most output of both streams together, in bytes: what the kubelet takes as one message, less some room.
const OUTPUT_LIMIT: usize = (16 << 20) - (64 << 10);

/// Serves the call.
pub async fn exec_sync(node: &Node, request: ExecSyncRequest) -> Result<ExecSyncResponse> {
    let ExecSyncRequest { container_id, cmd, timeout } = request;
    let id = named(container_id, "container_id")?;
    if cmd.is_empty() {
        return Err(Error::invalid("the request's cmd is empty"));
    }
    let timeout = u64::try_from(timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let since = tokio::time::Instant::now();
    // With a timeout it fails at once, as it does before the guest has answered.
    let container = begun(&node.pods, &id, timeout.map(|_| Duration::ZERO)).await?;
    let reached = session(&container, timeout).instrument(tracing::debug_span!("reach guest")).await;
    let session = reached.map_err(|error| unreached(error, &node.pods, &id))?;
    let left = timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
    let command = inside(&container, cmd, Stdin::Closed)?;
    let bounds = Bounds { timeout: left, limit_bytes: OUTPUT_LIMIT };
    let captured = transports::capture(session.as_ref(), command, bounds)
        .instrument(tracing::debug_span!("run in guest"))
        .await?;
    let exit_code = exit_code(captured.exit)?;
    let (stdout, stderr) = fitting(captured.stdout, captured.stderr, captured.discarded);
    Ok(ExecSyncResponse { stdout, stderr, exit_code })
}

/// Why the guest was not reached. That it boots anew may have been seen only after the container was looked at; then its
/// silence does not count.
fn unreached(error: Error, pods: &Pods, id: &str) -> Error {
    let is_rebooting = || pods.container(id).is_ok_and(|(_, now)| now.is_rebooting());
    match error {
        Error::TimedOut(why) if is_rebooting() => Error::Unavailable(format!("guest is rebooting ({why})")),
        error => error,
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
