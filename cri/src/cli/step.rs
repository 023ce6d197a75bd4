//! What a command is doing, while it does it: a moving line on a terminal, then one line that stays.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// A step under way. Dropping it without [`Step::done`] takes the moving line away.
pub(super) struct Step {
    bar: ProgressBar,
    started: Instant,
}

impl Step {
    /// Begins one. Where the standard error is no terminal nothing is shown until it is done.
    pub(super) fn begin(doing: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(doing);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, started: Instant::now() }
    }

    /// Ends it, telling what was done and how long it took.
    pub(super) fn done(self, told: &str) {
        self.bar.finish_and_clear();
        output::note(&format!("{told} ({:.1} s)", self.started.elapsed().as_secs_f64()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
