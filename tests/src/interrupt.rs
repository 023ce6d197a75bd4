//! The end that a person asks for: Ctrl-C, SIGTERM, or a terminal that is closed.
//!
//! ```text
//!   signal -> a flag -> whatever waits looks at it -> an error goes up -> everything made on the way is removed
//! ```
//!
//! The commands of `xtask`, critest and measurements listen from their beginning; a program of tests, which has no `main` of its
//! own, from its first node on. They run other programs in process groups of their own, so a Ctrl-C reaches this program alone,
//! and what it has started ends in the order that it decides. A second Ctrl-C changes nothing: cleaning up is bounded in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use anyhow::{Context, Result, bail};

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
static LISTENS: OnceLock<()> = OnceLock::new();

/// Begins to listen to signals, where that is not done already.
pub fn listen() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    if LISTENS.set(()).is_err() {
        return Ok(());
    }
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, ASKED.clone()).context("cannot listen to signals")?;
    }
    Ok(())
}

/// Whether the end was asked for.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// An error once the end was asked for.
pub fn check() -> Result<()> {
    if asked() {
        bail!("interrupted");
    }
    Ok(())
}
