//! A login that was refused is not tried on by everybody: a guest may lock out who fails often.
//!
//! ```text
//!   none --refused, and once more--> holds --for a while--> in doubt --one tries alone: let in--> none
//!                                      ^---- refused, for twice as long ----'
//! ```
//!
//! - Happy path: a single refusal, as of a guest that has just forgotten a login on its way, means nothing: it is tried once
//!   more.
//! - While a refusal holds, it is the answer for all. Then one tries, and the others wait for what comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, Result};

/// How long the first refusal holds.
const FIRST: Duration = Duration::from_secs(5);

/// How long one holds at most.
const LONGEST: Duration = Duration::from_secs(60);

/// The refusal of a session's login, where there is one.
#[derive(Default)]
pub(super) struct Refusal {
    held: Mutex<Option<Held>>,
    alone: tokio::sync::Mutex<()>,
}

struct Held {
    since: Instant,
    holds: Duration,
    error: Error,
}

impl Held {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.holds
    }
}

impl Refusal {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The refusal, while it holds.
    pub(super) fn check(&self) -> Result<()> {
        match &*self.held() {
            Some(held) if !held.is_over() => Err(held.error.clone()),
            _ => Ok(()),
        }
    }

    /// Whether there was one, and nobody was let in since.
    pub(super) fn in_doubt(&self) -> bool {
        self.held().is_some()
    }

    /// The right to try alone.
    pub(super) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.alone.lock().await
    }

    /// A login was refused.
    pub(super) fn hold(&self, error: &Error) {
        let mut held = self.held();
        let holds = match &*held {
            // Of one that was on its way.
            Some(held) if !held.is_over() => return,
            Some(held) => (held.holds * 2).min(LONGEST),
            None => FIRST,
        };
        *held = Some(Held { since: Instant::now(), holds, error: error.clone() });
    }

    /// Somebody was let in.
    pub(super) fn lift(&self) {
        *self.held() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_holds_longer_each_time_until_somebody_is_let_in() {
        let (refusal, error) = (Refusal::default(), Error::Refused("no".into()));
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert!(refusal.check().is_ok());
            refusal.hold(&error);
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            refusal.hold(&error);
            assert!(refusal.check().is_err(), "{seconds} s");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(refusal.check().is_ok() && refusal.in_doubt(), "{seconds} s");
        }
        refusal.lift();
        assert!(!refusal.in_doubt());
        refusal.hold(&error);
        tokio::time::advance(FIRST).await;
        assert!(refusal.check().is_ok());
    }
}
