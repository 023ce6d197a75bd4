//! The daemon killed at every durable step of a pod's life, on real parts.
//!
//! Run by `cargo xtask test --tier faults`. The steps are those that the daemon itself names, so one that is added is
//! tried from then on.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::large_futures, reason = "each future of a test is run once")]

#[allow(dead_code, reason = "the client is that of the end-to-end tests, and they need more of it")]
#[path = "../e2e/client.rs"]
mod client;
#[allow(dead_code, reason = "the nodes are those of the end-to-end tests, and they need more of them")]
#[path = "../e2e/fixture.rs"]
mod fixture;
mod life;
mod ownership;
mod steps;
