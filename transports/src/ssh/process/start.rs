//! A command's start: a channel, the command line, and the markers by which the remote shell tells its group.
//!
//! ```text
//!   open (elsewhere, where the server refuses) -> exec -> markers -> Running
//!   a shell that waits (spare) -> its line -----------------'
//!                               `- it was gone: as above
//! ```
//!
//! - Happy path: [`start`] gives the running command as soon as its group is known.
//! - In a guest with Windows there are no markers: it has started when the server says so.
//! - Failures: no channel in time, no markers in time, an answer that holds none. When nobody waits any more it goes on
//!   all the same until the group is known, since only then can it be killed.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::pool::{self, Pool, Share, Slot};
use super::super::preamble::Preamble;
use super::super::shell;
use super::super::spare::{self, Spare};
use super::{Job, Place, Running};
use crate::{Error, Exit, Process, Result, Size};

/// Connections that may refuse even a single channel before the guest is taken to allow none.
const CLOSED_CONNECTIONS: usize = 2;

/// Starts a command and waits for its markers.
pub(super) async fn start(
    job: Job,
    place: Place,
    started: &mut oneshot::Sender<Result<Process>>,
) -> Result<Running> {
    let deadline = Instant::now() + job.limit;
    let Some(pool) = job.pool.upgrade() else { return Err(Error::Lost("the session was closed".into())) };
    let slot = match place {
        Place::Free(slot) => slot,
        Place::Spare(spare, line) => {
            let mut running = by_spare(&job, &pool, spare, line).await?;
            match settle(&mut running, &job, started, deadline).await? {
                None => return Ok(prepared(running, job.share, &pool)),
                Some(Exit::Lost(why)) => return Err(Error::Lost(why)),
                Some(_) => tracing::debug!("the shell that waited was gone"),
            }
            drop(running);
            let slot = timeout_at(deadline, pool.slot(job.share)).await;
            slot.unwrap_or_else(|_| Err(Error::Unreachable("no connection to the guest came free".into())))?
        }
    };
    let mut running = by_channel(&job, &pool, slot, deadline).await?;
    match settle(&mut running, &job, started, deadline).await? {
        None => Ok(prepared(running, job.share, &pool)),
        Some(exit) => Err(running.not_started(&exit)),
    }
}

/// Opens a channel and sends the command line.
async fn by_channel(job: &Job, pool: &Arc<Pool>, slot: Slot, deadline: Instant) -> Result<Running> {
    let (slot, channel) = open(pool, slot, job.share, job.limit).await?;
    let (mut reader, writer) = channel.split();
    if let Some(sizes) = &job.terminal {
        let size = *sizes.borrow();
        let given = timeout_at(deadline, terminal(&mut reader, &writer, size)).await;
        given.unwrap_or_else(|_| Err(Error::Lost("the guest gave no terminal in time".into())))?;
    }
    let line = if slot.connection.shell.takes_scripts() { job.leaders_line() } else { None };
    let line = line.unwrap_or_else(|| job.line.clone());
    writer.exec(true, line).await.map_err(|error| pool::lost(&slot.connection, &error))?;
    Ok(Running::new(job, pool, slot, (reader, writer)))
}

/// Gives a shell that waits its command line.
async fn by_spare(job: &Job, pool: &Arc<Pool>, spare: Spare, mut line: String) -> Result<Running> {
    line.push('\n');
    let (reader, writer) = spare.channel.split();
    writer.data_bytes(line).await.map_err(|error| pool::lost(&spare.slot.connection, &error))?;
    spare::prepare(pool, &spare.slot);
    Ok(Running::new(job, pool, spare.slot, (reader, writer)))
}

/// Waits until the command has told its group, or the server that it runs. How the channel ended, if that comes first.
async fn settle(
    running: &mut Running,
    job: &Job,
    started: &mut oneshot::Sender<Result<Process>>,
    deadline: Instant,
) -> Result<Option<Exit>> {
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
                    running.slot = None;
                    // A program may be so quick that it ends with its markers.
                    if !running.has_started() {
                        return Ok(Some(exit));
                    }
                    running.ended = Some(exit);
                    return Ok(None);
                }
                Ok(None) => {}
                Err(error) => {
                    running.kill().await;
                    return Err(error);
                }
            }
        }
        if running.has_started() {
            return Ok(None);
        }
    }
}

/// A command that has started; what the next ones need is prepared beside it.
fn prepared(running: Running, share: Share, pool: &Arc<Pool>) -> Running {
    if let (Share::Shared, Some(slot), Some(_)) = (share, &running.slot, &running.preamble) {
        if slot.connection.shell.takes_scripts() {
            spare::prepare(pool, slot);
        } else {
            shell::ask(slot);
        }
    }
    running
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
            self.preamble.as_ref().map(Preamble::noise).unwrap_or_default()
        ))
    }
}
