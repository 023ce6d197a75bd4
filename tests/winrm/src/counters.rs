//! What happened so far, for tests to read.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::action::Action;

/// Figures of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that are open.
    pub connections_open: usize,
    /// HTTP requests, with those of the handshakes.
    pub requests: u64,
    /// Requests answered with 401: offers, challenges, refusals.
    pub unauthorized: u64,
    /// Passwords that were handed over, by `CredSSP`.
    pub passwords_received: u64,
    /// Envelopes that were understood, by what they ask for.
    pub actions: BTreeMap<Action, u64>,
    /// How often each command line was run.
    pub runs: BTreeMap<String, u64>,
    /// Shells that are open.
    pub shells_open: usize,
    /// Shells that were made.
    pub shells_made: u64,
    /// Processes that have not ended.
    pub processes: usize,
    /// `Receive`s that wait for output.
    pub receives_waiting: usize,
}

impl Counters {
    /// How often an action was asked for.
    pub fn action(&self, action: Action) -> u64 {
        self.actions.get(&action).copied().unwrap_or_default()
    }

    /// How often command lines were run that contain this text.
    pub fn runs_with(&self, text: &str) -> u64 {
        self.runs.iter().filter(|(line, _)| line.contains(text)).map(|(_, count)| count).sum()
    }
}

/// The counters of a server, which can be waited for.
#[derive(Debug, Clone)]
pub(crate) struct Counting(watch::Sender<Counters>);

impl Counting {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Counters::default()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Counters)) {
        self.0.send_modify(change);
    }

    pub(crate) fn now(&self) -> Counters {
        self.0.borrow().clone()
    }

    /// Waits until the counters are so.
    pub(crate) async fn until(&self, so: impl FnMut(&Counters) -> bool) -> Counters {
        let mut changes = self.0.subscribe();
        let Ok(counters) = changes.wait_for(so).await else { unreachable!("the sender is `self`") };
        counters.clone()
    }
}
