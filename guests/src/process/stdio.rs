//! Commands beside a running process: into its standard input, and as it runs itself.

use transports::{Command, Stdin};

use super::spec::ProcessId;
use super::{control, windows};
use crate::{Family, Result};

/// The command whose standard input is that of the process. It ends with code 0 when its own input ends, and with 3
/// where the process is gone or has none.
pub fn stdin(family: Family, id: &ProcessId) -> Result<Command> {
    match family {
        Family::Unix => Ok(control::command(include_str!("sh/stdin.sh"), id, &[], Stdin::Piped)),
        Family::Windows => windows::stdin(id),
    }
}

/// The command that ends the standard input of a process: for [`StdinMode::Once`](super::StdinMode::Once), when the
/// first one who wrote to it has gone.
pub fn end_stdin(family: Family, id: &ProcessId) -> Result<Command> {
    match family {
        Family::Unix => Ok(control::command(include_str!("sh/end_stdin.sh"), id, &[], Stdin::Closed)),
        Family::Windows => windows::end_stdin(id),
    }
}

/// The command that tells the terminal of a process its size.
pub fn resize(family: Family, id: &ProcessId, columns: u16, rows: u16) -> Result<Command> {
    match family {
        Family::Unix => {
            let (columns, rows) = (columns.to_string(), rows.to_string());
            Ok(control::command(include_str!("sh/resize.sh"), id, &[&columns, &rows], Stdin::Closed))
        }
        Family::Windows => Err(family.lacks("has no terminals", "leave tty out")),
    }
}

/// The command that runs `argv` as the user, with the environment and in the directory of a process. It is killed with
/// the process. Code 126 where the process is gone. On Windows it is a command like any other.
pub fn inside(family: Family, id: &ProcessId, argv: &[String], stdin: Stdin) -> Result<Command> {
    match family {
        Family::Unix => {
            let arguments: Vec<&str> = argv.iter().map(String::as_str).collect();
            Ok(control::command(include_str!("sh/inside.sh"), id, &arguments, stdin))
        }
        Family::Windows => Ok(Command { argv: argv.to_vec(), stdin }),
    }
}
