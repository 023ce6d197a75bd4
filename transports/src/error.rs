//! The errors of this crate. Whether a retry can help is decided here, where the error is born.

use std::time::Duration;

/// The result of a call to a guest.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong on the way to a guest.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The guest does not answer (yet); the text says what was seen last.
    #[error("{0}")]
    Unreachable(String),
    /// The guest answered and is not the one that was expected.
    #[error("{0}")]
    WrongIdentity(String),
    /// The guest refused the credential; the text names the user and the methods tried, never the secret.
    #[error("{0}")]
    Refused(String),
    /// The connection was lost while it was in use.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The command took too long and was killed.
    #[error("command timed out after {0:?} and was killed")]
    TimedOut(Duration),
    /// The guest does not allow this at all, whatever the credential; the text names its setting.
    #[error("{0}")]
    Forbidden(String),
    /// The request cannot be carried by this protocol; the text says why and what to change.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the same call may succeed later without anything being changed. A guest that is still booting may
    /// refuse credentials that it accepts a second later, so that counts as retryable too.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::TimedOut(_) | Self::Refused(_) => true,
            Self::WrongIdentity(_) | Self::Forbidden(_) | Self::Invalid(_) => false,
        }
    }
}
