//! What operators watch of the daemon itself: metrics for Prometheus, whether it is well, and its traces ([`traces`]).
//!
//! ```text
//!   service::call, pod owners --> counters and histograms --GET /metrics--> text
//!                                 providers, store, network --GET /healthz--> 200, or 503 with the reasons
//! ```
//!
//! It listens only where `[metrics] address` says so. Happy path: a scraper asks every few seconds, over a connection
//! for each question.
//!
//! Failure paths: an address that cannot be had ends the start of the daemon, with the remedy. A client that is slow, or
//! one of too many, is hung up on; no pod and no RPC ever waits for one.

mod metrics;
mod server;
pub mod traces;

pub use metrics::{boot_given_up, retried, rpc, session_opened};
pub use server::serve;
