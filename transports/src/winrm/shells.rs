//! The shells of one session: what commands run in, and what a guest has few of.
//!
//! ```text
//!   made --place for a command--> in use --its last command ended--> idle --for a while--> deleted
//!                                   `- used up, lost, in doubt: retired --its last command ended--> deleted
//! ```
//!
//! - Happy path: [`Shells::place`] gives a place in the shell with the fewest commands. Where all are full another one is
//!   made, or the first place that comes free is taken, whichever is sooner.
//! - The guest allows fewer shells, or fewer processes in one, than we thought: the bound shrinks, and the command, which
//!   was not started yet, goes elsewhere. Others of the same user may be the cause, so the bound grows again, by one after
//!   each while without a refusal ([`super::WinrmOptions::refusal_holds`]).
//! - Windows counts a command against its user until its shell is deleted, so a shell has only so many and is then
//!   followed by another one. A guest that gives no more is asked again once one of ours is gone from it.
//! - A shell is deleted on every path. Its name is ours, so that is possible too where the answer to its making was
//!   lost. What cannot be reached any more the guest deletes by itself ([`super::WinrmOptions::abandoned_timeout`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::connections::{Connections, Trouble};
use super::deletions::{Deletions, Relief};
use super::envelope::identifier;
use super::reply;
use crate::{Error, Result};

/// The shells of a session.
pub(super) struct Shells {
    pub(super) connections: Arc<Connections>,
    state: Mutex<State>,
    changed: Notify,
    deletions: Deletions,
}

#[derive(Debug)]
struct State {
    shells: Vec<Arc<Shell>>,
    opening: usize,
    waiting: usize,
    /// The most shells, by what the guest allowed so far.
    most: usize,
    /// The most commands at once of a new shell, likewise.
    commands: usize,
    /// When the guest allowed less last, or more was tried.
    bounded: Instant,
    closed: bool,
}

/// One shell of the guest.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) id: String,
    load: Mutex<Load>,
}

#[derive(Debug)]
struct Load {
    commands: usize,
    most: usize,
    /// Commands that it may have yet, in all.
    left: usize,
    retired: bool,
    idle_since: Instant,
}

impl Shell {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do for a place.
enum Next {
    Take(Place),
    Make(Making),
    Wait(Waiting),
}

impl Shells {
    pub(super) fn new(connections: Arc<Connections>) -> Arc<Self> {
        let options = &connections.options;
        let state = State {
            shells: Vec::new(),
            opening: 0,
            waiting: 0,
            most: options.shells.max(1),
            commands: options.commands_per_shell.max(1),
            bounded: Instant::now(),
            closed: false,
        };
        let deletions = Deletions::default();
        Arc::new(Self { connections, state: Mutex::new(state), changed: Notify::new(), deletions })
    }

    /// Waits for a deletion that is done from now on.
    pub(super) fn relief(&self) -> Relief {
        self.deletions.relief()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one command.
    pub(super) async fn place(self: &Arc<Self>) -> Result<Place> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.next()? {
                Next::Take(place) => return Ok(place),
                Next::Make(making) => {
                    if let Some(place) = making.make().await? {
                        return Ok(place);
                    }
                }
                Next::Wait(_waiting) => changed.await,
            }
        }
    }

    fn next(self: &Arc<Self>) -> Result<Next> {
        self.connections.over()?;
        let mut state = self.state();
        if state.closed {
            return Err(Error::Lost("the session was closed".into()));
        }
        let free = state.shells.iter().filter_map(|shell| {
            let load = shell.load();
            let free = !load.retired && load.left > 0 && load.commands < load.most;
            free.then_some((load.commands, shell))
        });
        if let Some((_, shell)) = free.min_by_key(|(commands, _)| *commands) {
            return Ok(Next::Take(Place::of(self, shell)));
        }
        let room = state.shells.len() + state.opening < state.most;
        // Those that are being made already may be enough for all who wait.
        if room && state.waiting >= state.opening * state.commands {
            state.opening += 1;
            return Ok(Next::Make(Making { shells: Arc::clone(self), id: identifier(), asked: false }));
        }
        state.waiting += 1;
        Ok(Next::Wait(Waiting(Arc::clone(self))))
    }

    /// Makes do with the shells that there are, of which those that are being made may be given; says whether there are any.
    fn makes_do(&self) -> bool {
        let mut state = self.state();
        let others = state.shells.len() + state.opening - 1;
        if others > 0 {
            state.most = others;
            state.bounded = Instant::now();
        }
        others > 0
    }

    /// Deletes shells that have been idle for long, and tries whether the guest allows more than it did.
    pub(super) fn sweep(&self) {
        let options = &self.connections.options;
        let idle = options.idle_timeout;
        let mut state = self.state();
        let most = (options.shells.max(1), options.commands_per_shell.max(1));
        if (state.most, state.commands) != most && state.bounded.elapsed() >= options.refusal_holds {
            state.bounded = Instant::now();
            (state.most, state.commands) = ((state.most + 1).min(most.0), (state.commands + 1).min(most.1));
            self.changed.notify_waiters();
        }
        state.shells.retain(|shell| {
            let load = shell.load();
            let keep = load.commands > 0 || load.idle_since.elapsed() < idle;
            if !keep {
                self.delete(shell.id.clone());
            }
            keep
        });
    }

    /// Deletes all shells, with whatever runs in them.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for shell in state.shells.drain(..) {
            self.delete(shell.id.clone());
        }
        self.changed.notify_waiters();
    }

    /// Deletes a shell, aside.
    fn delete(&self, id: String) {
        // Without a runtime the whole process is ending; the guest deletes what nobody asks for.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (connections, deletions) = (Arc::clone(&self.connections), self.deletions.clone());
        deletions.begin();
        runtime.spawn(async move {
            let request = connections.envelopes().delete(&id);
            let delivered = connections.deliver(&request).await;
            deletions.end(delivered.is_ok());
            if let Err(error) = delivered {
                let address = connections.address();
                tracing::warn!(%address, shell = id, %error, "a shell could not be deleted; the guest does it in time");
            }
        });
    }

    fn forget(&self, shell: &Arc<Shell>) -> bool {
        let mut state = self.state();
        let before = state.shells.len();
        state.shells.retain(|other| !Arc::ptr_eq(other, shell));
        state.shells.len() < before
    }
}

impl std::fmt::Debug for Shells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shells").field("state", &*self.state()).finish_non_exhaustive()
    }
}

/// A caller that waits for a place.
struct Waiting(Arc<Shells>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

/// The right to make one shell. Dropped after it was asked for, the shell is deleted.
struct Making {
    shells: Arc<Shells>,
    id: String,
    asked: bool,
}

impl Making {
    /// Makes it and takes its first place. None where the guest gives no more shells, and there are others, or one has gone.
    async fn make(mut self) -> Result<Option<Place>> {
        let connections = Arc::clone(&self.shells.connections);
        let relief = self.shells.relief();
        let request = connections.envelopes().create(&self.id, connections.options.abandoned_timeout);
        self.asked = true;
        match connections.ask(&request).await {
            Ok(body) => {
                self.id = reply::shell(&body)
                    .map_err(|why| Error::Lost(format!("{}: {}", connections.address(), why.0)))?;
                self.asked = false;
                Ok(Some(self.take_in()?))
            }
            Err(Trouble::Error(error)) => Err(error),
            Err(Trouble::Unsent(error)) => {
                self.asked = false;
                Err(error)
            }
            Err(Trouble::Fault(fault)) => {
                let address = connections.address();
                // Other faults do not say that there is none now.
                self.asked = !(fault.quota() || fault.used_up() || fault.denied() || fault.refused());
                if fault.quota() || fault.used_up() {
                    if self.shells.makes_do() {
                        tracing::debug!(%address, %fault, "the guest gives no further shell");
                        return Ok(None);
                    }
                    if relief.comes(false).await {
                        return Ok(None);
                    }
                    return Err(Error::Unreachable(format!(
                        "{address}: the guest gives no shell: {fault}: end other sessions of this user, or raise the quota \
                         (winrm set winrm/config/winrs @{{MaxShellsPerUser=\"...\"}})"
                    )));
                }
                if fault.denied() {
                    return Err(Error::Forbidden(format!(
                        "{address}: the user may make no shell ({fault}): add it to the guest's group Administrators or \
                         Remote Management Users"
                    )));
                }
                Err(Error::Unreachable(format!("{address}: the guest makes no shell: {fault}")))
            }
        }
    }

    fn take_in(&self) -> Result<Place> {
        let mut state = self.shells.state();
        if state.closed {
            drop(state);
            self.shells.delete(self.id.clone());
            return Err(Error::Lost("the session was closed".into()));
        }
        let load = Load {
            commands: 0,
            most: state.commands,
            left: self.shells.connections.options.commands_in_all.max(1),
            retired: false,
            idle_since: Instant::now(),
        };
        let shell = Arc::new(Shell { id: self.id.clone(), load: Mutex::new(load) });
        state.shells.push(Arc::clone(&shell));
        Ok(Place::of(&self.shells, &shell))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.shells.state().opening -= 1;
        if self.asked {
            self.shells.delete(self.id.clone());
        }
        self.shells.changed.notify_waiters();
    }
}

/// A place for one command in a shell; given back when dropped.
pub(super) struct Place {
    shells: Weak<Shells>,
    connections: Arc<Connections>,
    pub(super) shell: Arc<Shell>,
}

impl Place {
    fn of(shells: &Arc<Shells>, shell: &Arc<Shell>) -> Self {
        let mut load = shell.load();
        load.commands += 1;
        load.left -= 1;
        drop(load);
        let (shell, connections) = (Arc::clone(shell), Arc::clone(&shells.connections));
        Self { shells: Arc::downgrade(shells), connections, shell }
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The shell takes no further commands, for it has had all, or the guest has lost it, or we cannot reach it.
    pub(super) fn retire(&self) {
        self.shell.load().retired = true;
    }

    /// The shell takes no command beside those that it has.
    pub(super) fn full(&self) {
        let others = {
            let mut load = self.shell.load();
            let others = load.commands.saturating_sub(1);
            load.most = load.most.min(others);
            load.retired |= others == 0;
            others
        };
        if let (Some(shells), true) = (self.shells.upgrade(), others > 0) {
            let mut state = shells.state();
            state.commands = state.commands.min(others);
            state.bounded = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let done = {
            let mut load = self.shell.load();
            load.commands -= 1;
            load.idle_since = Instant::now();
            load.commands == 0 && (load.retired || load.left == 0)
        };
        let Some(shells) = self.shells.upgrade() else { return };
        if done && shells.forget(&self.shell) {
            shells.delete(self.shell.id.clone());
        }
        shells.changed.notify_waiters();
    }
}
