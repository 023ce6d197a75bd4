//! The errors of this crate. Whether a retry can help is decided here, where the error is born.

/// The result of a provider's call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not exist.
    #[error("machine {0} does not exist")]
    NotFound(String),
    /// The specification cannot be met by this provider; the text says why and what to change.
    #[error("{0}")]
    Invalid(String),
    /// Something that the node should have is missing; the text names it and the remedy.
    #[error("{0}")]
    NotReady(String),
    /// A step failed that may succeed when it is tried again.
    #[error("{what}")]
    Failed {
        /// The step, in lower case, with the machine it was for.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// Whether the same call may succeed later without anything being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::NotReady(_) | Self::Failed { .. } => true,
            Self::NotFound(_) | Self::Invalid(_) => false,
        }
    }

    /// A failed step with its cause.
    pub fn failed(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { what: what.into(), source: Some(source.into()) }
    }
}
