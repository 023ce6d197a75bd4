//! What tests let go wrong.
//!
//! ```text
//!   connection -> (ended at once)
//!   request -> (cut before it is read) -> (waits) -> carried out, or not -> (another answer) -> (cut before or in it) -> reply
//! ```
//!
//! Each [`Cut`] happens once, and each [`Answered`] as often as it says. Everything else holds until it is set anew.

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

/// Requests that are answered with something else.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// Those that ask for this.
    pub action: Action,
    /// How many of them.
    pub times: usize,
    /// Whether they are carried out nevertheless.
    pub carried_out: bool,
    /// With what.
    pub with: Instead,
}

/// What is answered instead.
#[derive(Debug, Clone, Copy)]
pub enum Instead {
    /// A fault of this kind (`w:TimedOut`) and code.
    Fault(&'static str, u32),
    /// An envelope with this body.
    Body(&'static str),
    /// This status without a word, which nobody has sealed.
    Status(u16),
    /// What it would be answered with, under this status of HTTP, which is not sealed with it.
    Under(u16),
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
    answered: Vec<Answered>,
    refused: usize,
    latency: Duration,
    slow: Option<(Action, Duration)>,
    split: Option<Split>,
    close: bool,
    pretends: Option<(&'static [u8], bool)>,
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

    /// Answers requests with something else.
    pub fn answer(&self, answered: Answered) {
        self.set().answered.push(answered);
    }

    /// Ends as many of the next connections at once.
    pub fn refuse_connections(&self, times: usize) {
        self.set().refused = times;
    }

    /// Connections that will be ended yet.
    pub fn refusals_left(&self) -> usize {
        self.set().refused
    }

    /// Lets each request wait this long before it is carried out.
    pub fn delay(&self, latency: Duration) {
        self.set().latency = latency;
    }

    /// Lets those that ask for this wait so long before they are carried out.
    pub fn slow(&self, action: Action, latency: Duration) {
        self.set().slow = Some((action, latency));
    }

    /// Sends replies in pieces.
    pub fn split(&self, split: Option<Split>) {
        self.set().split = split;
    }

    /// Closes each connection after an answer to who is known, so that there is no keep-alive.
    pub fn close_after_reply(&self, close: bool) {
        self.set().close = close;
    }

    /// Does not look at tickets: lets in whoever shows one, or nobody, and answers with this.
    pub fn pretend(&self, answer: &'static [u8], let_in: bool) {
        self.set().pretends = Some((answer, let_in));
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

    /// What a request that asks for this is answered with instead, and whether it is carried out.
    pub(crate) fn instead(&self, action: Action) -> Option<Answered> {
        let mut set = self.set();
        let at = set.answered.iter().position(|answered| answered.action == action)?;
        let answered = set.answered[at];
        set.answered[at].times = answered.times.saturating_sub(1);
        set.answered.retain(|answered| answered.times > 0);
        Some(answered)
    }

    /// Whether a new connection is ended at once.
    pub(crate) fn refuses(&self) -> bool {
        let mut set = self.set();
        let refuses = set.refused > 0;
        set.refused = set.refused.saturating_sub(1);
        refuses
    }

    /// Waits as long as each request shall.
    pub(crate) async fn wait(&self) {
        let latency = self.set().latency;
        wait(latency).await;
    }

    /// Waits as long as those that ask for this shall.
    pub(crate) async fn wait_for(&self, action: Action) {
        let slow = self.set().slow.filter(|(slow, _)| *slow == action);
        wait(slow.map_or(Duration::ZERO, |(_, latency)| latency)).await;
    }

    pub(crate) fn splits(&self) -> Option<Split> {
        self.set().split
    }

    #[cfg(feature = "kerberos")]
    pub(crate) fn pretends(&self) -> Option<(&'static [u8], bool)> {
        self.set().pretends
    }

    pub(crate) fn closes(&self) -> bool {
        self.set().close
    }
}

/// A timer waits for the next millisecond even where there is nothing to wait for.
async fn wait(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}
