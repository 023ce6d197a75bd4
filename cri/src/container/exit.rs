//! How a command in a guest ended, as the exit code that a shell would tell.

use transports::Exit;

use crate::error::{Error, Result};

/// The exit code; an error where nobody knows it.
pub(crate) fn exit_code(exit: Exit) -> Result<i32> {
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Signal(name) => Ok(128 + signal_number(&name)),
        Exit::Lost(why) => Err(Error::Unavailable(format!("the guest was lost during the command: {why}"))),
    }
}

/// The number of a signal by its name without `SIG`.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "TRAP" => 5,
        "ABRT" => 6,
        "BUS" => 7,
        "FPE" => 8,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 9,
    }
}
