//! SPDY/3.1, as far as Kubernetes' clients speak it: many byte streams on one connection.
//!
//! ```text
//!   bytes <-> frame (codec) <-> headers (zlib) <-> connection (streams, windows) <-> Offer -> Input, Output
//! ```
//!
//! A client opens streams; each is an [`Offer`] that is accepted or refused by its headers. The server opens none.

mod connection;
mod dictionary;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub(super) use connection::{Offer, serve};
