//! A mixed node: ordinary containers of a real containerd beside pods of ours, behind one socket.
//!
//! Run by `cargo xtask test --tier e2e`, which builds containerd where there is a Go to do so, and has the distribution's older
//! one where there is such. What the daemon alone decides runs with pods of ours that have no machine.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::large_futures, reason = "each future of a test is run once")]

mod away;
#[path = "../e2e/client.rs"]
#[allow(dead_code, clippy::unused_async, reason = "it is what the end-to-end tests need")]
mod client;
mod events;
mod images;
mod late;
mod life;
mod lists;
mod mixed;
mod node;
mod raw;
mod unheard;
