//! One guest's session: hands every command to a task of its own.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dial::Dialled;
use super::pool::{Pool, Share};
use super::preamble::Marker;
use super::{SshOptions, process};
use crate::{Command, Error, Identity, Process, Result, Session, Target, quote};

/// A session over SSH.
pub(super) struct SshSession {
    pool: Arc<Pool>,
}

impl SshSession {
    pub(super) fn new(options: SshOptions, target: &Target, dialled: Dialled) -> Self {
        Self { pool: Pool::new(options, target, dialled) }
    }

    async fn start(&self, command: Command, share: Share) -> Result<Process> {
        let marker = Marker::new();
        let line = quote::command_line(&marker.script(), &command.argv)?;
        let (sender, started) = oneshot::channel();
        let limit = self.pool.options.start_timeout;
        let pool = Arc::downgrade(&self.pool);
        let job = process::Job { pool, share, argv: command.argv, line, marker, limit };
        let Ok(slot) = timeout(limit, self.pool.slot(share)).await else {
            return Err(Error::Unreachable(format!("no connection to the guest came free within {limit:?}")));
        };
        // A task of its own, so that a command whose caller goes away is still killed in the guest.
        tokio::spawn(process::run(job, slot?, command.stdin, sender));
        started.await.unwrap_or_else(|_| Err(Error::Lost("the session was closed".into())))
    }
}

#[async_trait]
impl Session for SshSession {
    async fn exec(&self, command: Command) -> Result<Process> {
        self.start(command, Share::Shared).await
    }

    async fn stream(&self, command: Command) -> Result<Process> {
        self.start(command, Share::Own).await
    }

    async fn closed(&self) -> Error {
        let mut gone = self.pool.gone();
        let why = gone.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        Error::Lost(why.unwrap_or_else(|| "the session was closed".into()))
    }

    fn identity(&self) -> Option<Identity> {
        Some(self.pool.identity().clone())
    }
}

impl Drop for SshSession {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl std::fmt::Debug for SshSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshSession").field("pool", &self.pool).finish()
    }
}
