//! Waiting for a descriptor that tokio has no type for (a pidfd).

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "the successor is `unsafe` for types whose descriptor may change; an `OwnedFd` keeps its own till it is dropped"
)]
pub(crate) fn ready(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}
