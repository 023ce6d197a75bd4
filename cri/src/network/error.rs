//! What goes wrong with the pod network. Each text names the thing and the remedy.

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request or the configuration cannot be met as it is.
    #[error("{0}")]
    Invalid(String),
    /// The node's network is not set up yet.
    #[error("{0}")]
    NotReady(String),
    /// A step failed.
    #[error("{what}")]
    Failed {
        /// The step.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn failed(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Failed { what: what.into(), source: source.into() }
    }

    pub(super) fn said(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::failed(what, std::io::Error::other(why.into()))
    }
}
