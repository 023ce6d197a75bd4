//! One guest's session: hands every command to a task of its own.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::client::SILENT;
use super::dial::Dialled;
use super::pool::{Pool, Share, Slot};
use super::preamble::Marker;
use super::process::{self, Place};
use super::{SshOptions, spare, windows};
use crate::{
    Command, Error, Identity, Interpreter, PortForward, Process, Result, Session, Size, Target, Terminal,
    Terminals, quote,
};

/// A session over SSH.
pub(super) struct SshSession {
    pub(super) pool: Arc<Pool>,
}

impl SshSession {
    pub(super) fn new(options: SshOptions, target: &Target, dialled: Dialled) -> Self {
        Self { pool: Pool::new(options, target, dialled) }
    }

    async fn start(
        &self,
        command: Command,
        share: Share,
        terminal: Option<watch::Receiver<Size>>,
    ) -> Result<Process> {
        let (marker, line) = match self.pool.options.interpreter {
            Interpreter::Cmd => (None, windows::line(&command.argv)?),
            Interpreter::None => {
                let marker = Marker::new();
                let script = if terminal.is_some() { marker.terminal_script() } else { marker.script() };
                let line = quote::command_line(&script, &command.argv)?;
                (Some(marker), line)
            }
        };
        let (sender, started) = oneshot::channel();
        let limit = self.pool.options.start_timeout;
        let pool = Arc::downgrade(&self.pool);
        let job = process::Job { pool, share, argv: command.argv, line, marker, terminal, limit };
        let place = match self.spare(&job) {
            Some(place) => place,
            None => Place::Free(self.slot(share).await?),
        };
        // A task of its own, so that a command whose caller goes away is still killed in the guest.
        tokio::spawn(process::run(job, place, command.stdin, sender));
        started.await.unwrap_or_else(|_| Err(Error::Lost("the session was closed".into())))
    }

    /// The shell that waits for a command line, where this command's may go there.
    fn spare(&self, job: &process::Job) -> Option<Place> {
        let line = job.leaders_line().filter(|line| job.share == Share::Shared && spare::fits(line))?;
        Some(Place::Spare(self.pool.spare()?, line))
    }

    /// A place on a connection, within the time that a start may take.
    pub(super) async fn slot(&self, share: Share) -> Result<Slot> {
        let limit = self.pool.options.start_timeout;
        let Ok(slot) = timeout(limit, self.pool.slot(share)).await else {
            return Err(Error::Unreachable(format!("no connection to the guest came free within {limit:?}")));
        };
        slot
    }
}

#[async_trait]
impl Session for SshSession {
    async fn exec(&self, command: Command) -> Result<Process> {
        self.start(command, Share::Shared, None).await
    }

    async fn stream(&self, command: Command) -> Result<Process> {
        self.start(command, Share::Own, None).await
    }

    fn terminals(&self) -> Option<&dyn Terminals> {
        Some(self)
    }

    fn port_forward(&self) -> Option<&dyn PortForward> {
        Some(self)
    }

    async fn closed(&self) -> Error {
        let mut gone = self.pool.gone();
        let why = gone.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) if why == SILENT => Error::Unreachable(why),
            why => Error::Lost(why.unwrap_or_else(|| "the session was closed".into())),
        }
    }

    fn identity(&self) -> Option<Identity> {
        Some(self.pool.identity().clone())
    }
}

#[async_trait]
impl Terminals for SshSession {
    async fn open(&self, command: Command, size: Size) -> Result<Terminal> {
        let (resize, sizes) = watch::channel(size);
        let process = self.start(command, Share::Own, Some(sizes)).await?;
        Ok(Terminal { process, resize })
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
