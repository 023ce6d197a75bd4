//! A container's log: from the guest or its serial console, into the file that the kubelet reads.
//!
//! ```text
//!   console file --sanitize--+
//!                            +--> surplus (what is there already) --> format --> file
//!   guest's log --follow-----+                                            \
//!                                                                          checkpoint (cursor, inode, size)
//! ```
//!
//! Happy path: [`LogTask::start`] copies the console while the guest boots; when the first session comes it goes over to
//! the guest's own log, and stays there until [`LogTask::finish`].
//!
//! Failure paths: a lost session is waited for and the log goes on by its cursor. A killed daemon goes on from the
//! [`checkpoint`]; lines that were written after it are recognised and not written again. A guest that has no such log
//! stays on the console, and the log says why. A full disk holds the log up until there is room; nothing is dropped.

pub mod checkpoint;
mod console;
mod error;
pub mod file;
mod follow;
pub mod format;
mod process;
pub mod sanitize;
mod surplus;
mod task;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use follow::{LogTask, LogTaskConfig};
pub use process::ProcessLog;
