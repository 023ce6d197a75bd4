//! The one table from the daemon's errors to gRPC's codes.

use tonic::{Code, Status};

use crate::error::Error;

/// The status of an error: its code by the table, its message with all causes.
pub(super) fn of(error: &Error) -> Status {
    let code = match error {
        Error::NotFound { .. } => Code::NotFound,
        Error::Invalid(_) => Code::InvalidArgument,
        Error::Conflict(_) => Code::FailedPrecondition,
        Error::Unavailable(_) => Code::Unavailable,
        Error::TimedOut(_) => Code::DeadlineExceeded,
        Error::Denied(_) => Code::PermissionDenied,
        Error::Failed { .. } => Code::Internal,
    };
    Status::new(code, error.chain())
}
