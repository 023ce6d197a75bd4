//! How slow a registry may be with a download before it is given up.
//!
//! Only the time that is spent waiting for the registry counts, in windows of a minute: neither a slow disk nor our own
//! pauses make a registry slow.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How much waiting is one window.
const WINDOW: Duration = Duration::from_secs(60);

/// What has to come within a window, in bytes: 16 KiB a second.
const LEAST: u64 = 60 * (16 << 10);

/// The pace of one download, over all its attempts.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    received: u64,
    too_slow: bool,
}

/// Less came within a minute than has to.
#[derive(Debug, thiserror::Error)]
#[error("less than {LEAST} bytes came in {} s", WINDOW.as_secs())]
pub(crate) struct TooSlow;

impl Pace {
    /// Waits for the registry, as long as its pace allows.
    pub(crate) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, TooSlow> {
        let mut work = std::pin::pin!(work);
        loop {
            if self.waited >= WINDOW {
                self.too_slow = self.received < LEAST;
                if self.too_slow {
                    return Err(TooSlow);
                }
                (self.waited, self.received) = (Duration::ZERO, 0);
            }
            let begun = Instant::now();
            let done = timeout(WINDOW.saturating_sub(self.waited), work.as_mut()).await;
            self.waited += begun.elapsed();
            if let Ok(done) = done {
                return Ok(done);
            }
        }
    }

    /// Counts what came.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Whether the download was given up.
    pub(crate) fn too_slow(&self) -> bool {
        self.too_slow
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// How long a server that sends so many bytes every so many seconds is listened to.
    async fn patience(bytes: usize, every: u64) -> Duration {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        for _ in 0..1000 {
            if pace.wait(sleep(Duration::from_secs(every))).await.is_err() {
                assert!(pace.too_slow());
                break;
            }
            pace.received(bytes);
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_ends_after_a_minute_and_a_steady_pace_never() {
        assert_eq!(patience(1, 59).await.as_secs(), 60);
        assert_eq!(patience(15 << 10, 1).await.as_secs(), 60);
        assert_eq!(patience(0, 1 << 20).await.as_secs(), 60);
        assert_eq!(patience(17 << 10, 1).await.as_secs(), 1000);
        assert_eq!(patience(1 << 20, 60).await.as_secs(), 60_000);
    }
}
