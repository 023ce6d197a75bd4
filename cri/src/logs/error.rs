//! The errors of this module.

use std::io;
use std::path::PathBuf;

/// The result of this module's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a container's log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the node could not be used.
    #[error("cannot {doing} {}: {source}; check the disk's space and the directory's rights", path.display())]
    File {
        /// What was tried, such as `open`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The log's task has ended.
    #[error("the container's log is already closed")]
    Closed,
}

impl Error {
    /// Makes a [`Error::File`].
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
