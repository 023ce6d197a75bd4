//! The daemon from end to end, on real parts: real machines, a real registry, real CNI plugins.
//!
//! Run by `cargo xtask test --tier e2e`, which builds the guests and the daemon and tells where they are. Tests with
//! machines take turns, three at a time (more emulated machines that boot at once starve each other), and each has a deadline.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::large_futures, reason = "each future of a test is run once")]

mod churn;
mod client;
mod credential;
mod endings;
mod events;
mod fixture;
mod fleet;
mod guests;
mod ids;
mod life;
mod names;
mod net;
mod process_ends;
mod processes;
mod refusals;
mod restart;
mod stats;
mod streaming;
mod streams;
mod swapping;
mod telemetry;
mod traces;
mod update;
mod volumes;
mod winrm;
mod winrm_image;

use fixture::{bare_node, bare_node_with, node, node_with, within};
