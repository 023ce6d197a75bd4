//! What tests let go wrong.
//!
//! ```text
//!   request -> (cut before it is read) -> carried out -> (cut before the reply) -> (cut in its middle) -> reply
//! ```
//!
//! Each [`Cut`] happens once. Everything else holds for all requests until it is set anew.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::action::Action;

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the request is read: nothing of it is done.
    BeforeRead,
    /// When it was carried out, and nothing of the reply is sent.
    BeforeReply,
    /// In the middle of the reply.
    InReply,
}

/// A connection that is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// At which request from now on, 1 being the next. Those of handshakes count, too, unless an action is named.
    pub at: u32,
    /// Counts only envelopes that ask for this. What they ask for is known when they have been read, so that with
    /// [`Moment::BeforeRead`] they have been read here, yet nothing of them is done.
    pub action: Option<Action>,
    /// When.
    pub moment: Moment,
}

/// How replies come in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    /// The bytes of a piece, each written on its own.
    pub bytes: usize,
    /// By `Transfer-Encoding: chunked` instead of a `Content-Length`.
    pub chunked: bool,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub struct Faults {
    set: Mutex<Set>,
}

#[derive(Debug, Default, Clone)]
struct Set {
    cuts: Vec<Cut>,
    latency: Duration,
    split: Option<Split>,
    close: bool,
}

impl Faults {
    fn set(&self) -> std::sync::MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts a connection, once.
    pub fn cut(&self, cut: Cut) {
        self.set().cuts.push(cut);
    }

    /// Cuts that have not happened yet.
    pub fn cuts_left(&self) -> usize {
        self.set().cuts.len()
    }

    /// Lets each request wait this long before it is carried out.
    pub fn delay(&self, latency: Duration) {
        self.set().latency = latency;
    }

    /// Sends replies in pieces.
    pub fn split(&self, split: Option<Split>) {
        self.set().split = split;
    }

    /// Closes each connection after an answer to who is known, so that there is no keep-alive.
    pub fn close_after_reply(&self, close: bool) {
        self.set().close = close;
    }

    /// Tells of a request, or of what one asks for; answers when its connection is to be cut.
    pub(crate) fn meet(&self, action: Option<Action>) -> Option<Moment> {
        let mut set = self.set();
        for cut in set.cuts.iter_mut().filter(|cut| cut.action == action) {
            cut.at = cut.at.saturating_sub(1);
        }
        let due = set.cuts.iter().position(|cut| cut.action == action && cut.at == 0)?;
        Some(set.cuts.swap_remove(due).moment)
    }

    pub(crate) fn latency(&self) -> Duration {
        self.set().latency
    }

    pub(crate) fn splits(&self) -> Option<Split> {
        self.set().split
    }

    pub(crate) fn closes(&self) -> bool {
        self.set().close
    }
}
