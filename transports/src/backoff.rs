//! The one way to wait between attempts: doubling, jittered, bounded.

use std::time::Duration;

use rand::Rng;

/// A series of waits. Each is about twice the one before, never above the bound, and off by up to a quarter so that
/// many who began together do not go on together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// A series that begins at `first` and never passes `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = (wait * 2).min(self.most);
        wait.mul_f64(rand::rng().random_range(0.75..=1.0))
    }

    /// Begins again after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let waits: Vec<_> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(75) && waits[0] <= Duration::from_millis(100));
        assert!(waits[3] >= Duration::from_millis(600));
        assert!(
            waits[10..]
                .iter()
                .all(|&wait| wait >= Duration::from_millis(1500) && wait <= Duration::from_secs(2))
        );
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
