//! How a machine's end becomes a container's exit.
//!
//! | what happened | code | reason |
//! |---|---|---|
//! | the guest powered itself off, or was shut down in good order | 0 | `Completed` |
//! | the guest reset itself | 1 | `GuestReset` |
//! | the guest's kernel panicked | 134 | `GuestPanic` |
//! | it did not answer within its boot deadline | 124 | `GuestBootTimeout` |
//! | the grace period was over and it was forced off | 137 | `Killed` |
//! | its process ended without a word | 255 | `MachineLost` |
//! | it could not be started at all | 128 | `StartError` |

use machines::{Cause, Ended};

use crate::store::ExitRecord;

/// The exit of a container whose machine has ended. `gave_up` is set where the boot deadline ended it.
pub(super) fn exit(ended: &Ended, gave_up: Option<&str>) -> ExitRecord {
    let (code, reason) = match (ended.cause, gave_up) {
        (_, Some(_)) => (124, "GuestBootTimeout"),
        (Cause::PoweredOff, None) => (0, "Completed"),
        (Cause::Reset, None) => (1, "GuestReset"),
        (Cause::Panicked, None) => (134, "GuestPanic"),
        (Cause::Forced, None) => (137, "Killed"),
        (Cause::Lost, None) => (255, "MachineLost"),
    };
    ExitRecord {
        code,
        reason: reason.to_owned(),
        message: gave_up.unwrap_or(&ended.message).to_owned(),
        at: super::nanos(ended.at),
    }
}

/// The exit of a container whose machine could not be started.
pub(super) fn start_error(why: &str) -> ExitRecord {
    ExitRecord { code: 128, reason: "StartError".to_owned(), message: why.to_owned(), at: super::now() }
}
