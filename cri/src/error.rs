//! The daemon's errors, in the words of the domain. Only `service::status` knows what gRPC makes of them.

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named thing does not exist.
    #[error("{kind} {id} does not exist")]
    NotFound {
        /// `pod`, `container` or `image`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// The request cannot be met as it is; the text names the field and the remedy.
    #[error("{0}")]
    Invalid(String),
    /// The request does not fit the state of the thing.
    #[error("{0}")]
    Conflict(String),
    /// The guest or the node cannot answer now and may later.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than the caller allows.
    #[error("{0}")]
    TimedOut(String),
    /// A registry or a guest refuses the credential.
    #[error("{0}")]
    Denied(String),
    /// A step failed on this node.
    #[error("{what}")]
    Failed {
        /// The step.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// A request that cannot be met.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    /// Something that does not exist.
    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    /// A failed step with its cause.
    pub fn failed(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Failed { what: what.into(), source: Some(source.into()) }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

impl From<images::Error> for Error {
    fn from(error: images::Error) -> Self {
        match error {
            images::Error::NotFound(id) => Self::NotFound { kind: "image", id },
            images::Error::BadReference(why) | images::Error::Refused(why) => Self::Invalid(why),
            images::Error::Denied(why) => Self::Denied(why),
            error @ images::Error::InUse { .. } => Self::Conflict(error.to_string()),
            images::Error::Failed { what, source } => Self::Failed { what, source },
        }
    }
}

impl From<machines::Error> for Error {
    fn from(error: machines::Error) -> Self {
        match error {
            machines::Error::NotFound(id) => Self::NotFound { kind: "machine", id },
            machines::Error::Invalid(why) => Self::Invalid(why),
            machines::Error::NotReady(why) => Self::Unavailable(why),
            machines::Error::Failed { what, source } => Self::Failed { what, source },
        }
    }
}

impl From<transports::Error> for Error {
    fn from(error: transports::Error) -> Self {
        match error {
            transports::Error::Unreachable(_) | transports::Error::Lost(_) => {
                Self::Unavailable(error.to_string())
            }
            transports::Error::WrongIdentity(why)
            | transports::Error::Refused(why)
            | transports::Error::Forbidden(why) => Self::Denied(why),
            transports::Error::TimedOut(_) => Self::TimedOut(error.to_string()),
            transports::Error::Invalid(why) => Self::Invalid(why),
        }
    }
}

impl From<guests::Error> for Error {
    fn from(error: guests::Error) -> Self {
        match error {
            guests::Error::Session(error) => error.into(),
            guests::Error::Unsupported(why) => Self::Invalid(why),
            guests::Error::Ended(why) | guests::Error::File(why) => Self::Failed { what: why, source: None },
            error @ guests::Error::Malformed(_) => Self::Failed { what: error.to_string(), source: None },
        }
    }
}

impl From<crate::network::Error> for Error {
    fn from(error: crate::network::Error) -> Self {
        match error {
            crate::network::Error::Invalid(why) => Self::Invalid(why),
            crate::network::Error::NotReady(why) => Self::Unavailable(why),
            crate::network::Error::Failed { what, source } => Self::failed(what, source),
        }
    }
}

impl From<crate::logs::Error> for Error {
    fn from(error: crate::logs::Error) -> Self {
        match error {
            error @ crate::logs::Error::File { .. } => Self::Failed { what: error.to_string(), source: None },
            error @ crate::logs::Error::Closed => Self::Conflict(error.to_string()),
        }
    }
}
