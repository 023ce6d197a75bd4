//! The connections of one session, and who may use which.
//!
//! ```text
//!   shared --a reader lags--> resting (no new commands) --it caught up or ended--> shared
//!   own    --its command ended--> shared --idle for a while, and not the last--> closed
//! ```
//!
//! - Happy path: [`Pool::slot`] gives a place on the first connection that has one free.
//! - All are full: another connection is opened, or the first place that comes free is taken, whichever is sooner;
//!   never more than the configured number of connections.
//! - The server allows fewer sessions than we thought: the connection's limit shrinks and the command, which was not
//!   sent yet, goes elsewhere.
//! - Dropbear may close the channel of a command when another one ends on the same connection, so there each command has
//!   a connection for itself, one after the other.
//! - A shared connection ends by itself: the session is over ([`Pool::gone`]); commands on other connections run on
//!   until the session is dropped.

mod slot;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use super::client::Client;
use super::dial::{self, Dialled};
use super::shell::LoginShell;
use super::spare::{Spare, Spares};
use super::{SshOptions, client};
use crate::{Error, Result, Target};

pub(super) use slot::Slot;

/// Whether a command shares its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// With other commands.
    Shared,
    /// With none: its reader may be slow.
    Own,
}

/// One connection.
pub(super) struct Connection {
    pub(super) handle: russh::client::Handle<Client>,
    pub(super) ended: watch::Receiver<Option<String>>,
    /// Dropped with the connection, which ends its socket whatever the library is waiting for.
    _cut: oneshot::Sender<()>,
    /// Set when we close it ourselves, so that its end is no news.
    dismissed: Arc<AtomicBool>,
    /// What is known of the login shell.
    pub(super) shell: LoginShell,
    load: Mutex<Load>,
}

#[derive(Debug)]
struct Load {
    commands: usize,
    limit: usize,
    lagging: usize,
    own: bool,
    /// Counts the commands it ever had, to know whether it was idle all along.
    generation: u64,
}

impl Connection {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it ended, if it has.
    pub(super) fn end(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    fn alive(&self) -> bool {
        !self.handle.is_closed() && self.ended.borrow().is_none()
    }
}

/// The connections of a session.
pub(super) struct Pool {
    pub(super) options: SshOptions,
    target: Target,
    state: Mutex<State>,
    pub(super) spares: Spares,
    changed: Notify,
    gone: watch::Sender<Option<String>>,
    closed: watch::Sender<bool>,
}

struct State {
    connections: Vec<Arc<Connection>>,
    opening: usize,
    /// The most commands of a new connection, by what the server allowed on the earlier ones.
    limit: usize,
}

impl Pool {
    pub(super) fn new(options: SshOptions, target: &Target, first: Dialled) -> Arc<Self> {
        let target = dial::pinned(target, &first.host_key);
        let limit = options.commands_per_connection.max(1);
        let pool = Arc::new(Self {
            options,
            target,
            state: Mutex::new(State { connections: Vec::new(), opening: 0, limit }),
            spares: Spares::default(),
            changed: Notify::new(),
            gone: watch::Sender::new(None),
            closed: watch::Sender::new(false),
        });
        let first = pool.adopt(first, false);
        pool.state().connections.push(first);
        pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells once the session is over, and why.
    pub(super) fn gone(&self) -> watch::Receiver<Option<String>> {
        self.gone.subscribe()
    }

    /// Tells once the session was closed by its owner.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// The host key that this session's guest proved to hold.
    pub(super) fn identity(&self) -> &crate::Identity {
        &self.target.identity
    }

    /// Ends the session: every connection is dropped, its commands are lost.
    pub(super) fn close(&self) {
        self.gone.send_if_modified(|gone| {
            let first = gone.is_none();
            if first {
                *gone = Some("the session was closed".into());
            }
            first
        });
        self.closed.send_replace(true);
        drop(self.spares.take());
        for connection in self.state().connections.drain(..) {
            connection.dismissed.store(true, Ordering::Relaxed);
        }
    }

    /// A shell that waits for its command line on a connection which takes commands.
    pub(super) fn spare(&self) -> Option<Spare> {
        let spare = self.spares.take()?;
        if spare.slot.usable() {
            return Some(spare);
        }
        spare.end_aside();
        None
    }

    /// A place for one command.
    pub(super) async fn slot(self: &Arc<Self>, share: Share) -> Result<Slot> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(slot) = self.free(share)? {
                return Ok(slot);
            }
            if share == Share::Shared {
                // Its place comes free by that.
                self.spares.end();
            }
            let Some(opening) = self.may_open(share) else {
                changed.await;
                continue;
            };
            let dialling = dial::dial(&self.options, &self.target);
            tokio::pin!(dialling);
            loop {
                tokio::select! {
                    dialled = &mut dialling => {
                        drop(opening);
                        match dialled {
                            Ok(dialled) => return self.open(dialled, share),
                            // Full but alive connections come free again.
                            Err(error) if share == Share::Shared && self.usable() => {
                                tracing::debug!(%error, "no further connection; waiting for a place");
                                changed.as_mut().await;
                                break;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    () = changed.as_mut() => {
                        if let Some(slot) = self.free(share)? {
                            return Ok(slot);
                        }
                        changed.set(self.changed.notified());
                    }
                }
            }
        }
    }

    /// A place that is free now. An error when the session is over.
    fn free(self: &Arc<Self>, share: Share) -> Result<Option<Slot>> {
        if let Some(why) = self.gone.borrow().clone() {
            return Err(Error::Lost(why));
        }
        let mut state = self.state();
        state.connections.retain(|connection| connection.alive());
        let found = state.connections.iter().enumerate().find(|(index, connection)| {
            let load = connection.load();
            match share {
                Share::Shared => !load.own && load.lagging == 0 && load.commands < load.limit,
                // The first stays for short commands.
                Share::Own => *index > 0 && load.commands == 0 && load.limit > 0,
            }
        });
        Ok(found.map(|(_, connection)| self.occupy(connection, share)))
    }

    fn occupy(self: &Arc<Self>, connection: &Arc<Connection>, share: Share) -> Slot {
        let mut load = connection.load();
        load.commands += 1;
        load.generation += 1;
        load.own = share == Share::Own;
        drop(load);
        Slot::new(self, connection)
    }

    /// The right to open another connection, if the bound allows one. Only one is opened at once for shared use.
    fn may_open(self: &Arc<Self>, share: Share) -> Option<Opening> {
        let mut state = self.state();
        let room = state.connections.len() + state.opening < self.options.connections.max(1);
        if !room || (share == Share::Shared && state.opening > 0) {
            return None;
        }
        state.opening += 1;
        Some(Opening(Arc::clone(self)))
    }

    /// Whether some connection will take shared commands again without our doing.
    fn usable(&self) -> bool {
        self.state().connections.iter().any(|connection| connection.alive() && !connection.load().own)
    }

    fn open(self: &Arc<Self>, dialled: Dialled, share: Share) -> Result<Slot> {
        if let Some(why) = self.gone.borrow().clone() {
            return Err(Error::Lost(why));
        }
        let connection = self.adopt(dialled, share == Share::Own);
        let slot = self.occupy(&connection, share);
        self.state().connections.push(connection);
        self.changed.notify_waiters();
        Ok(slot)
    }

    /// Takes a connection in and watches for its end.
    fn adopt(self: &Arc<Self>, dialled: Dialled, own: bool) -> Arc<Connection> {
        let dismissed = Arc::new(AtomicBool::new(false));
        let limit = if dialled.one_by_one { 1 } else { self.state().limit };
        let connection = Arc::new(Connection {
            handle: dialled.handle,
            ended: dialled.ended.clone(),
            _cut: dialled.cut,
            dismissed: Arc::clone(&dismissed),
            shell: LoginShell::default(),
            load: Mutex::new(Load { commands: 0, limit, lagging: 0, own, generation: 0 }),
        });
        let pool = Arc::downgrade(self);
        let mut ended = dialled.ended;
        let watched = Arc::downgrade(&connection);
        tokio::spawn(async move {
            let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            let own = watched.upgrade().is_some_and(|connection| connection.load().own);
            if let (Some(pool), false) = (pool.upgrade(), dismissed.load(Ordering::Relaxed)) {
                if !own {
                    pool.gone.send_if_modified(|gone| {
                        let first = gone.is_none();
                        if first {
                            *gone = why.or_else(|| Some("the connection ended".into()));
                        }
                        first
                    });
                }
                pool.changed.notify_waiters();
            }
        });
        connection
    }

    /// Closes a connection that nobody used since `generation`, unless it is the last.
    fn dismiss_idle(&self, connection: &Arc<Connection>, generation: u64) {
        let mut state = self.state();
        let Some(index) = state.connections.iter().position(|other| Arc::ptr_eq(other, connection)) else {
            return;
        };
        let idle = {
            let load = connection.load();
            load.commands == 0 && load.generation == generation
        };
        if idle && index > 0 {
            connection.dismissed.store(true, Ordering::Relaxed);
            state.connections.remove(index);
        }
    }
}

/// The right to open one connection.
struct Opening(Arc<Pool>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state().opening -= 1;
        self.0.changed.notify_waiters();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("load", &*self.load()).finish_non_exhaustive()
    }
}

/// What a library error on this connection means.
pub(super) fn lost(connection: &Connection, error: &russh::Error) -> Error {
    Error::Lost(connection.end().unwrap_or_else(|| client::describe(error)))
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("connections", &self.state().connections).finish_non_exhaustive()
    }
}
