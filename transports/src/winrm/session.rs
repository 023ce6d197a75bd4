//! One guest's session: hands every command to a task of its own, and looks after the guest meanwhile.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::connections::Connections;
use super::envelope::unsuitable;
use super::options::{Interpreter, WinrmOptions};
use super::powershell::is_powershell;
use super::process::{self, Job};
use super::shells::Shells;
use crate::{Backoff, Command, Error, Identity, Process, Result, Session, Target, quote};

/// The first wait between two questions for a sign of life.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The least time between two looks at a guest.
const SPACING: Duration = Duration::from_secs(1);

/// Attempts to reach a guest before it is given up.
const ATTEMPTS: usize = 3;

/// A session over `WinRM`.
pub(super) struct WinrmSession {
    connections: Arc<Connections>,
    shells: Arc<Shells>,
    closed: watch::Sender<bool>,
}

impl WinrmSession {
    pub(super) async fn open(options: &WinrmOptions, target: &Target) -> Result<Self> {
        let connections = Arc::new(Connections::open(options, target).await?);
        let shells = Shells::new(Arc::clone(&connections));
        let closed = watch::Sender::new(false);
        let keeper = Keeper { connections: Arc::clone(&connections), shells: Arc::clone(&shells) };
        tokio::spawn(keeper.run(closed.subscribe()));
        Ok(Self { connections, shells, closed })
    }
}

#[async_trait]
impl Session for WinrmSession {
    async fn exec(&self, command: Command) -> Result<Process> {
        let line = match self.connections.options.interpreter {
            Interpreter::Cmd => (quote::cmd_command_line(&command.argv)?, String::new()),
            Interpreter::None => quote::windows_command_line(&command.argv)?,
        };
        if let Some(c) = unsuitable(&line.0).or_else(|| unsuitable(&line.1)) {
            return Err(Error::Invalid(format!(
                "WinRM cannot carry the character {c:?} in a command line: pass it on standard input instead"
            )));
        }
        self.connections.over()?;
        let job = Job {
            shells: Arc::clone(&self.shells),
            clixml: is_powershell(&command.argv[0]),
            program: command.argv[0].clone(),
            line,
            closed: self.closed.subscribe(),
            limit: self.connections.options.start_timeout,
        };
        let (sender, started) = oneshot::channel();
        // A task of its own, so that a command whose caller goes away is still ended in the guest.
        tokio::spawn(process::run(job, command.stdin, sender));
        started.await.unwrap_or_else(|_| Err(Error::Lost("the session was closed".into())))
    }

    async fn closed(&self) -> Error {
        let mut gone = self.connections.gone();
        let why = gone.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| Error::Lost("the session was closed".into()))
    }

    fn identity(&self) -> Option<Identity> {
        self.connections.identity()
    }
}

impl Drop for WinrmSession {
    fn drop(&mut self) {
        self.connections.lose(Error::Lost("the session was closed".into()));
        self.closed.send_replace(true);
        self.shells.close();
    }
}

impl std::fmt::Debug for WinrmSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WinrmSession").field("shells", &self.shells).finish_non_exhaustive()
    }
}

/// Looks after a session: deletes what is idle, and notices that its guest is gone while nobody asks it for anything.
struct Keeper {
    connections: Arc<Connections>,
    shells: Arc<Shells>,
}

impl Keeper {
    async fn run(self, mut closed: watch::Receiver<bool>) {
        tokio::select! {
            _ = closed.wait_for(|closed| *closed) => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let connections = &self.connections;
        let interval = connections.options.keepalive_interval;
        loop {
            // The guest has ended a connection, or a request failed: it may be going down.
            let doubt = timeout(interval, connections.doubt.notified()).await.is_ok();
            if connections.over().is_err() {
                return;
            }
            self.shells.sweep();
            connections.sweep();
            if doubt || connections.heard().elapsed() >= interval {
                self.ask(doubt).await;
                // A guest that ends every connection must not keep us asking.
                tokio::time::sleep(SPACING.min(interval)).await;
            }
        }
    }

    /// Asks for a sign of life. Where there is none, the session is over.
    async fn ask(&self, doubt: bool) {
        let mut backoff = Backoff::new(FIRST_WAIT, self.connections.options.keepalive_interval);
        let asked = Instant::now();
        for attempt in 1.. {
            let Err(why) = self.connections.probe().await else { return };
            // Somebody else was answered meanwhile.
            if self.connections.heard() > asked {
                return;
            }
            if attempt >= ATTEMPTS || self.connections.over().is_err() {
                let why = match why {
                    Error::Unreachable(why) if !doubt => Error::Unreachable(why),
                    Error::Lost(why) => Error::Lost(why),
                    other => Error::Lost(other.to_string()),
                };
                self.connections.lose(why);
                return;
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}
