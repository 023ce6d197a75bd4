//! The errors of this crate. Whether a retry can help is decided here, where the error is born.

/// The result of something asked of a guest's operating system.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The session could not carry it, or was lost.
    #[error(transparent)]
    Session(#[from] transports::Error),
    /// The guest lacks what this needs; the text names it and what to choose instead.
    #[error("{0}")]
    Unsupported(String),
    /// The program in the guest ended, or refused; the text holds what it said.
    #[error("{0}")]
    Ended(String),
    /// A file of this machine could not be read or written; the text names it.
    #[error("{0}")]
    File(String),
    /// The guest sent what its program never sends.
    #[error("the guest sent a malformed log: {0}")]
    Malformed(String),
}

impl Error {
    /// Whether the same call may succeed later without anything being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Session(error) => error.retryable(),
            Self::Ended(_) | Self::Malformed(_) => true,
            Self::Unsupported(_) | Self::File(_) => false,
        }
    }
}
