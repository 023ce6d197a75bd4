//! A place on a connection: taken by the [`Pool`], given back when dropped, whereupon an idle connection is closed after a while.

use std::sync::{Arc, Weak};

use super::{Connection, Pool, Share};

/// A place for one command on a connection; given back when dropped.
pub(in crate::ssh) struct Slot {
    pool: Weak<Pool>,
    pub(in crate::ssh) connection: Arc<Connection>,
    lagging: bool,
}

impl Slot {
    /// A place that was counted already.
    pub(super) fn new(pool: &Arc<Pool>, connection: &Arc<Connection>) -> Self {
        Self { pool: Arc::downgrade(pool), connection: Arc::clone(connection), lagging: false }
    }

    /// Says whether the command's reader lags behind, so that no further commands come beside it.
    pub(in crate::ssh) fn set_lagging(&mut self, lagging: bool) {
        if self.lagging == lagging {
            return;
        }
        self.lagging = lagging;
        let mut load = self.connection.load();
        if lagging {
            load.lagging += 1;
        } else {
            load.lagging -= 1;
            drop(load);
            self.changed();
        }
    }

    /// A place for a further command on the same connection, where one is free for shared use.
    pub(in crate::ssh) fn beside(&self) -> Option<Slot> {
        let pool = self.pool.upgrade()?;
        {
            let load = self.connection.load();
            if load.own || load.lagging > 0 || load.commands >= load.limit {
                return None;
            }
        }
        Some(pool.occupy(&self.connection, Share::Shared))
    }

    /// Whether the connection is there and takes commands.
    pub(in crate::ssh) fn usable(&self) -> bool {
        self.connection.alive() && self.connection.load().lagging == 0
    }

    /// Whether the connection is this command's alone.
    pub(in crate::ssh) fn is_own(&self) -> bool {
        self.connection.load().own
    }

    /// Whether other commands are on the connection.
    pub(in crate::ssh) fn has_neighbours(&self) -> bool {
        self.connection.load().commands > 1
    }

    /// The server refused a channel: it allows fewer than we thought. Whether it allows any on this connection.
    pub(in crate::ssh) fn refused(&self) -> bool {
        let limit = {
            let mut load = self.connection.load();
            load.limit = load.limit.min(load.commands.saturating_sub(1));
            load.limit
        };
        if let (Some(pool), true) = (self.pool.upgrade(), limit > 0) {
            let mut state = pool.state();
            state.limit = state.limit.min(limit);
        }
        limit > 0
    }

    fn changed(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.changed.notify_waiters();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_lagging(false);
        let mut load = self.connection.load();
        load.commands -= 1;
        let idle = load.commands == 0;
        if idle {
            load.own = false;
        }
        let generation = load.generation;
        drop(load);
        self.changed();
        let Some(pool) = self.pool.upgrade() else { return };
        let first =
            pool.state().connections.first().is_some_and(|first| Arc::ptr_eq(first, &self.connection));
        if idle && !first {
            // Without a runtime the whole process is ending.
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
            let idle_timeout = pool.options.idle_timeout;
            let (pool, connection) = (self.pool.clone(), Arc::downgrade(&self.connection));
            runtime.spawn(async move {
                tokio::time::sleep(idle_timeout).await;
                if let (Some(pool), Some(connection)) = (pool.upgrade(), connection.upgrade()) {
                    pool.dismiss_idle(&connection, generation);
                }
            });
        }
    }
}
