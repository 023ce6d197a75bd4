//! How long to wait before a download is taken up again: doubling, bounded, jittered.

use std::time::Duration;

use rand::Rng;

/// Attempts in a row without one new byte before a download is given up.
pub(crate) const ATTEMPTS: u32 = 5;

/// Attempts altogether, so that a server which yields one byte a connection does not hold a pull for ever.
pub(crate) const ATTEMPTS_IN_ALL: u32 = 50;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause after `failures` failures in a row: between half of the doubled base and the whole of it.
pub(crate) fn pause(failures: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for failures in 0..100 {
            let pause = pause(failures);
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{pause:?} after {failures}");
        }
        assert!(pause(0) <= FIRST);
        assert!(pause(10) >= LONGEST / 2);
    }
}
