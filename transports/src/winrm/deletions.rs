//! The deletions of a session's shells, and waiting for one of them: until then the guest counts what ran in the shell.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long it is waited for one of our shells to go from a guest that gives no more.
const RELIEF: Duration = Duration::from_secs(2);

/// The deletions in the guest. Cheap to clone.
#[derive(Debug, Default, Clone)]
pub(super) struct Deletions(watch::Sender<Count>);

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    under_way: usize,
    done: u64,
}

impl Deletions {
    /// One begins.
    pub(super) fn begin(&self) {
        self.0.send_modify(|now| now.under_way += 1);
    }

    /// One ends; the shell is gone, or could not be deleted.
    pub(super) fn end(&self, gone: bool) {
        self.0.send_modify(|now| {
            now.under_way -= 1;
            now.done += u64::from(gone);
        });
    }

    /// Waits for one that is done from now on.
    pub(super) fn relief(&self) -> Relief {
        let deletions = self.0.subscribe();
        let before = deletions.borrow().done;
        Relief { deletions, before }
    }
}

/// Waits for a deletion that is done from some moment on.
pub(super) struct Relief {
    deletions: watch::Receiver<Count>,
    before: u64,
}

impl Relief {
    /// Whether one is done, or soon will be. Where none is `certain` to come, only those are waited for that are under way.
    pub(super) async fn comes(mut self, certain: bool) -> bool {
        let before = self.before;
        let over = |now: &Count| now.done > before || (now.under_way == 0 && !certain);
        let waited = timeout(RELIEF, self.deletions.wait_for(over)).await;
        waited.is_ok_and(|now| now.is_ok_and(|now| now.done > before))
    }
}
