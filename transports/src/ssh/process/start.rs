//! A command's start: a channel, the command line, and the markers by which the remote shell tells its group.
//!
//! ```text
//!   open (elsewhere, where the server refuses) -> exec -> markers -> Running
//! ```
//!
//! - Happy path: [`start`] gives the running command as soon as its group is known.
//! - Failures: no channel in time, no markers in time, an answer that holds none. When nobody waits any more it goes on
//!   all the same until the group is known, since only then can it be killed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::pool::{self, Pool, Share, Slot};
use super::super::preamble::Preamble;
use super::super::shell;
use super::{Job, Running};
use crate::{Error, Exit, Process, Result, Size, quote};

/// Connections that may refuse even a single channel before the guest is taken to allow none.
const CLOSED_CONNECTIONS: usize = 2;

/// Opens a channel, sends the command line and waits for the markers.
pub(super) async fn start(
    job: Job,
    slot: Slot,
    started: &mut oneshot::Sender<Result<Process>>,
) -> Result<Running> {
    let deadline = Instant::now() + job.limit;
    let Some(pool) = job.pool.upgrade() else { return Err(Error::Lost("the session was closed".into())) };
    let session_closed = pool.closed();
    let (slot, channel) = open(&pool, slot, job.share, job.limit).await?;
    drop(pool);
    let (mut reader, writer) = channel.split();
    if let Some(sizes) = &job.terminal {
        let size = *sizes.borrow();
        let given = timeout_at(deadline, terminal(&mut reader, &writer, size)).await;
        given.unwrap_or_else(|_| Err(Error::Lost("the guest gave no terminal in time".into())))?;
    }
    let line = if job.terminal.is_none() && slot.connection.shell.takes_scripts() {
        quote::posix_command_line(&job.marker.leaders_script(), &job.argv).unwrap_or(job.line)
    } else {
        job.line
    };
    writer.exec(true, line).await.map_err(|error| pool::lost(&slot.connection, &error))?;
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
            if let (Share::Shared, Some(slot)) = (job.share, &running.slot) {
                shell::ask(slot);
            }
            return Ok(running);
        }
    }
}

/// What programs on the terminal are told that it is; the containers of other runtimes say the same.
const TERMINAL: &str = "xterm";

/// Asks for a terminal and waits for the answer.
async fn terminal(reader: &mut ChannelReadHalf, writer: &ChannelWriteHalf<Msg>, size: Size) -> Result<()> {
    let lost = || Error::Lost("the connection ended".into());
    let Size { columns, rows } = size;
    let asked = writer.request_pty(true, TERMINAL, columns.into(), rows.into(), 0, 0, &[]).await;
    asked.map_err(|_| lost())?;
    loop {
        match reader.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => {
                return Err(Error::Forbidden(
                    "the guest gives this user no terminal: set PermitTTY in its sshd_config, or run the command \
                     without one"
                        .into(),
                ));
            }
            Some(ChannelMsg::Close) | None => return Err(lost()),
            Some(_) => {}
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
}
