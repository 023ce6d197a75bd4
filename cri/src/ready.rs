//! Waiting for a descriptor that the runtime has no type for: inotify, a terminal.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets the runtime wait for events of a descriptor.
#[allow(
    deprecated,
    reason = "its successor is unsafe for the sake of other types: an `OwnedFd` stays the same file"
)]
pub(crate) fn ready(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}
