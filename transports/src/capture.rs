//! Runs a short command and keeps what it prints, within bounds.
//!
//! - Happy path: the output of both streams and the exit.
//! - More output than the bound: the rest is read and thrown away, and counted in [`Captured::discarded`].
//! - Too slow: the command is killed with its group, a moment is waited until that is confirmed, and the call fails
//!   with [`Error::TimedOut`]. The time counts from the call, so waiting for a connection is part of it.

use std::time::Duration;

use tokio::time::timeout;

use crate::{Bounds, Captured, Command, Error, Exit, Process, Result, Session, Stream};

/// How long the kill of a command that timed out may take to be confirmed.
const KILL_TIMEOUT: Duration = Duration::from_secs(6);

/// Runs a command to its end. Dropping the future kills the command.
pub async fn capture(session: &dyn Session, command: Command, bounds: Bounds) -> Result<Captured> {
    let Some(limit) = bounds.timeout else {
        let mut process = session.exec(command).await?;
        return Ok(collect(&mut process, bounds.limit_bytes).await);
    };
    let started = tokio::time::Instant::now();
    let Ok(process) = timeout(limit, session.exec(command)).await else {
        return Err(Error::TimedOut(limit));
    };
    let mut process = process?;
    let left = limit.saturating_sub(started.elapsed());
    if let Ok(captured) = timeout(left, collect(&mut process, bounds.limit_bytes)).await {
        return Ok(captured);
    }
    process.guard = None;
    // Unread output would hold up the end.
    process.output.close();
    let _ = timeout(KILL_TIMEOUT, &mut process.exit).await;
    Err(Error::TimedOut(limit))
}

async fn collect(process: &mut Process, limit: usize) -> Captured {
    let mut captured =
        Captured { stdout: Vec::new(), stderr: Vec::new(), exit: Exit::Lost(String::new()), discarded: 0 };
    while let Some(output) = process.output.recv().await {
        let kept = match output.stream {
            Stream::Stdout => &mut captured.stdout,
            Stream::Stderr => &mut captured.stderr,
        };
        let room = limit.saturating_sub(kept.len()).min(output.data.len());
        kept.extend_from_slice(&output.data[..room]);
        captured.discarded += (output.data.len() - room) as u64;
    }
    captured.exit = (&mut process.exit).await.unwrap_or_else(|_| Exit::Lost("the session was closed".into()));
    captured
}
