//! How much a SPDY client lets us send.
//!
//! SPDY/3.1 grants 64 KiB at first and more by `WINDOW_UPDATE`. The clients of Kubernetes speak no flow control at all: they
//! neither grant anything nor keep to what is granted, and rely on TCP. So a window holds nothing back until the client
//! has shown, by a grant or a setting, that it knows of windows; from then on it is kept to, with all that was sent before
//! counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What SPDY/3.1 grants at first.
pub(super) const INITIAL_BYTES: u32 = 64 * 1024;
/// The protocol's bound.
const MOST_BYTES: i64 = 0x7fff_ffff;

/// One window.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    credit: i64,
    enforced: bool,
    closed: bool,
}

impl Window {
    pub(super) fn new(credit: u32, enforced: bool) -> Self {
        Self {
            state: Mutex::new(State { credit: credit.into(), enforced, closed: false }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a right to send as many bytes as there are, at most so many and at least one. Waits where there are none;
    /// none at all once it is closed.
    pub(super) async fn take(&self, most: usize) -> usize {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return 0;
                }
                let free = if state.enforced { usize::try_from(state.credit).unwrap_or(0) } else { most };
                let granted = free.min(most);
                if granted > 0 {
                    state.credit = state.credit.saturating_sub_unsigned(granted as u64);
                    return granted;
                }
            }
            changed.await;
        }
    }

    /// Gives back what was taken and not used.
    pub(super) fn grant(&self, bytes: usize) {
        self.shift(i64::try_from(bytes).unwrap_or(MOST_BYTES));
    }

    /// More, or by a changed setting less. Whether the window is still one: it may not pass the protocol's bound.
    pub(super) fn shift(&self, bytes: i64) -> bool {
        let mut state = self.state();
        state.credit = state.credit.saturating_add(bytes);
        let valid = state.credit <= MOST_BYTES;
        drop(state);
        self.changed.notify_waiters();
        valid
    }

    /// Nothing more may be sent.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Keeps to it from now on.
    pub(super) fn enforce(&self) {
        self.state().enforced = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_enforced_window_holds_back_until_more_is_granted() {
        let window = Window::new(10, true);
        assert_eq!((window.take(4).await, window.take(100).await), (4, 6));
        assert!(timeout(Duration::from_secs(60), window.take(1)).await.is_err());
        let (taken, ()) = tokio::join!(window.take(100), async { window.grant(3) });
        assert_eq!(taken, 3);
        assert!(window.shift(MOST_BYTES) && !window.shift(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_knows_no_windows_is_not_held_back() {
        let window = Window::new(10, false);
        assert_eq!(window.take(1000).await, 1000);
        window.enforce();
        assert!(timeout(Duration::from_secs(60), window.take(1)).await.is_err());
        window.grant(991);
        assert_eq!(window.take(1000).await, 1, "what was sent before counts");
    }
}
