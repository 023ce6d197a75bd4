//! Programs that take minutes to build, made while tests run that need none of them.
//!
//! ```text
//!   `setup go` in a process of its own, after everything else on the processors -> cache
//!   whoever needs one of them before it is there waits for the build (see [`crate::cache`])
//! ```
//!
//! Failure paths: it says nothing. What it could not build is built by whoever needs it, who tells why that fails.

use std::process::Command;

use anyhow::Result;

use crate::run::{self, Running};
use crate::tree;

/// Begins to build; ends with this value.
pub(super) fn begin() -> Result<Running> {
    // Not the program that runs: it has been built anew meanwhile.
    run::beside(Command::new("nice").args(["-n", "19"]).arg(tree::program("xtask")).args(["setup", "go"]))
}
