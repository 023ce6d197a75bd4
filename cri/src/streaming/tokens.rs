//! The tokens in the URLs: each opens one session once, within a minute.
//!
//! ```text
//!   RPC --issue--> waiting --take--> the request
//!                     `--- a minute ---> forgotten
//! ```
//!
//! A token is 128 bits from the operating system. One that was used, has expired or was guessed gives nothing, and
//! nothing tells which. Only [`WAITING_MAX`] wait at once: who asks faster than sessions are opened is told so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// How long a token lives.
const LIFE: Duration = Duration::from_secs(60);
/// The most tokens that wait.
const WAITING_MAX: usize = 1000;

/// The tokens that wait, each with what it stands for.
#[derive(Debug)]
pub(super) struct Tokens<T> {
    waiting: Mutex<HashMap<u128, (T, Instant)>>,
}

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<T> Tokens<T> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u128, (T, Instant)>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        waiting.retain(|_, (_, until)| *until > now);
        waiting
    }

    /// A new token for a request.
    pub(super) fn issue(&self, request: T) -> Result<String> {
        let mut bytes = [0; 16];
        OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| Error::failed("the operating system gives no random bytes", error))?;
        let token = u128::from_be_bytes(bytes);
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            return Err(Error::Unavailable(format!(
                "{WAITING_MAX} streaming sessions wait to be opened; open them, or wait a minute"
            )));
        }
        waiting.insert(token, (request, Instant::now() + LIFE));
        Ok(format!("{token:032x}"))
    }

    /// What a token stands for, once.
    pub(super) fn take(&self, token: &str) -> Option<T> {
        let well_formed = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        let token = u128::from_str_radix(token, 16).ok().filter(|_| well_formed)?;
        self.waiting().remove(&token).map(|(request, _)| request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_opens_once_and_for_a_minute() {
        let tokens = Tokens::default();
        let (first, second) = (tokens.issue(1).unwrap(), tokens.issue(2).unwrap());
        assert_eq!(first.len(), 32);
        assert_ne!(first, second);
        assert_eq!((tokens.take(&first), tokens.take(&first)), (Some(1), None));
        tokio::time::advance(LIFE).await;
        assert_eq!(tokens.take(&second), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_token_opens_nothing() {
        let tokens = Tokens::default();
        let token = tokens.issue(1).unwrap();
        for guess in ["", "0", &token[1..], &format!("+{}", &token[1..]), &format!("{token}0"), "ü"] {
            assert_eq!(tokens.take(guess), None, "{guess}");
        }
        assert_eq!(tokens.take(&token), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait() {
        let tokens = Tokens::default();
        for number in 0..WAITING_MAX {
            tokens.issue(number).unwrap();
        }
        assert!(matches!(tokens.issue(0), Err(Error::Unavailable(_))));
        tokio::time::advance(LIFE).await;
        tokens.issue(0).expect("the old ones have expired");
    }
}
