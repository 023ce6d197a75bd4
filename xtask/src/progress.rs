//! What the commands say: a line for each thing done, and a status line while something long runs.
//!
//! On a terminal the status line is rewritten in place every second. Elsewhere (CI, a file) each line of a step is
//! written once, and a silent step says every 10 seconds that it is still at work.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

/// How long a step may be silent where there is no terminal.
const SILENCE: Duration = Duration::from_secs(10);

/// Writes a line.
pub(crate) fn line(text: &str) {
    let mut out = stdout().lock();
    // Nobody reads: there is nobody to tell.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A long thing that is being done.
pub(crate) struct Step {
    title: String,
    began: Instant,
    spoke: Instant,
    last: String,
    terminal: bool,
}

impl Step {
    /// Begins a step.
    pub(crate) fn begin(title: &str) -> Self {
        let step = Self::wait(title);
        if step.terminal {
            step.status();
        } else {
            line(&format!("{title} ..."));
        }
        step
    }

    /// Begins to wait for something that was told of already: only [`Self::tick`] shows that time goes on.
    pub(crate) fn wait(title: &str) -> Self {
        Self {
            title: title.into(),
            began: Instant::now(),
            spoke: Instant::now(),
            last: String::new(),
            terminal: stdout().is_terminal(),
        }
    }

    /// Writes a line above the status line.
    pub(crate) fn above(&mut self, text: &str) {
        self.wipe();
        line(text);
        self.spoke = Instant::now();
    }

    /// A line of the step's output.
    pub(crate) fn say(&mut self, text: &str) {
        self.last = text.trim().chars().filter(|c| !c.is_control()).collect();
        if self.terminal {
            self.status();
        } else if !self.last.is_empty() {
            line(&format!("  {:>4} s  {}", self.seconds(), self.last));
            self.spoke = Instant::now();
        }
    }

    /// Nothing new but time that goes on; the step is at this.
    pub(crate) fn tick(&mut self, at: &str) {
        if self.terminal {
            self.status();
        } else if self.spoke.elapsed() >= SILENCE {
            let at = if at.is_empty() { String::new() } else { format!(": {at}") };
            line(&format!("  {:>4} s  still at work: {}{at}", self.seconds(), self.title));
            self.spoke = Instant::now();
        }
    }

    /// Ends the step, and says how long it took.
    pub(crate) fn end(self, how: &str) {
        self.wipe();
        line(&format!("{}: {how} ({:.1} s)", self.title, self.began.elapsed().as_secs_f64()));
    }

    /// Clears the status line, for something else to be written.
    pub(crate) fn wipe(&self) {
        if self.terminal {
            let mut out = stdout().lock();
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }

    fn status(&self) {
        let text: String =
            format!("{:>4} s  {}  {}", self.seconds(), self.title, self.last).chars().take(100).collect();
        let mut out = stdout().lock();
        let _ = write!(out, "\r\x1b[K{text}");
        let _ = out.flush();
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.wipe();
    }
}
