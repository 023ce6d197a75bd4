//! Ending and holding a command in the guest, by a second command.
//!
//! Most servers ignore the request to signal a process, so the group that the remote shell told is signalled by a
//! command of our own. In a guest with Windows there is no group, and its server is the one that does not ignore the request
//! ([`super::super::windows`]). Failure paths: no connection takes that command, or what is to be ended does not end in time; then
//! the channel is closed, which is all that is left to do, and a warning says so.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Handle;
use russh::{ChannelMsg, ChannelReadHalf, Sig};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::client::Client;
use super::super::pool::{Connection, Share};
use super::super::preamble::Leader;
use super::Running;

/// How long a killed command may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps a command's group stopped until dropped. The stopping is itself a command in the guest that waits for the end
/// of its input, so that a connection that is lost meanwhile lets the group go on.
pub(super) struct Hold {
    _release: oneshot::Sender<()>,
}

impl Hold {
    pub(super) fn new(connection: Arc<Connection>, line: String) -> Self {
        let (sender, released) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let Ok(mut channel) = connection.handle.channel_open_session().await else { return };
            if channel.exec(false, line).await.is_err() {
                return;
            }
            let _ = released.await;
            if channel.eof().await.is_ok() {
                while let Some(message) = channel.wait().await {
                    if matches!(message, ChannelMsg::Close) {
                        break;
                    }
                }
            }
        });
        Self { _release: sender }
    }
}

impl Running {
    /// Kills the command, waits a bounded moment until it is gone, and closes the channel.
    pub(super) async fn kill(&mut self) {
        let Some(slot) = &self.slot else { return };
        let connection = Arc::clone(&slot.connection);
        let gone = match self.leader() {
            Some(leader) => self.kill_group(leader, connection).await,
            None if self.preamble.is_none() => self.kill_by_signal().await,
            None => false,
        };
        if !gone {
            let _ = self.writer.close().await;
        }
        self.slot = None;
    }

    /// Kills the command's group by a second exec. Whether it was gone in time.
    async fn kill_group(&mut self, leader: Leader, connection: Arc<Connection>) -> bool {
        let line = leader.kill_line();
        tracing::debug!(?leader, "killing a command in the guest");
        let pool = self.pool.clone();
        let kill = async move {
            if second_exec(&connection.handle, &line).await.is_err()
                && let Some(pool) = pool.upgrade()
                && let Ok(slot) = pool.slot(Share::Shared).await
            {
                let _ = second_exec(&slot.connection.handle, &line).await;
            }
        };
        let both = async { tokio::join!(kill, drain(&mut self.reader)) };
        let gone = timeout(KILL_TIMEOUT, both).await.is_ok();
        if !gone {
            tracing::warn!(?leader, "a command in the guest was not seen to die in time");
        }
        gone
    }

    /// Has the server kill the command. Whether it was gone in time.
    async fn kill_by_signal(&mut self) -> bool {
        let both = async { tokio::join!(self.writer.signal(Sig::KILL), drain(&mut self.reader)) };
        let gone = timeout(KILL_TIMEOUT, both).await.is_ok();
        if !gone {
            tracing::warn!("a command in a guest with Windows was not seen to die in time; it may go on");
        }
        gone
    }
}

/// Reads over what a command still prints, to its end.
async fn drain(reader: &mut ChannelReadHalf) {
    while let Some(message) = reader.wait().await {
        if matches!(message, ChannelMsg::Close) {
            return;
        }
    }
}

/// Runs a line of our own whose output is of no interest.
async fn second_exec(handle: &Handle<Client>, line: &str) -> Result<(), russh::Error> {
    let mut channel = handle.channel_open_session().await?;
    channel.exec(false, line).await?;
    while let Some(message) = channel.wait().await {
        if matches!(message, ChannelMsg::Close) {
            break;
        }
    }
    Ok(())
}
