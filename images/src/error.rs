//! The errors of this crate. Whether a retry can help is decided here, where the error is born.

/// The result of a call to the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such image in the store or the registry.
    #[error("image {0} was not found")]
    NotFound(String),
    /// The reference is not one.
    #[error("{0}")]
    BadReference(String),
    /// The content is refused; the text says what is wrong with it and what to do.
    #[error("{0}")]
    Refused(String),
    /// The registry does not let us in.
    #[error("{0}")]
    Denied(String),
    /// Machines are based on the image.
    #[error("image {image} is in use by {holders}; stop and remove them first")]
    InUse {
        /// The image.
        image: String,
        /// Who holds it.
        holders: String,
    },
    /// The registry or the node failed in a way that may pass.
    #[error("{what}")]
    Failed {
        /// The step, in lower case, with the image or file it was for.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// Whether the same call may succeed later without anything being changed.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// A failed step with its cause.
    pub fn failed(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { what: what.into(), source: Some(source.into()) }
    }
}
