//! Commands beside a running process: into its standard input, and as it runs itself.

use transports::{Command, Stdin};

use super::control;
use super::spec::ProcessId;

/// The command whose standard input is that of the process. It ends with code 0 when its own input ends, and with 3
/// where the process is gone or has none.
pub fn stdin(id: &ProcessId) -> Command {
    control::command(include_str!("sh/stdin.sh"), id, &[], Stdin::Piped)
}

/// The command that ends the standard input of a process: for [`StdinMode::Once`](super::StdinMode::Once), when the
/// first one who wrote to it has gone.
pub fn end_stdin(id: &ProcessId) -> Command {
    control::command(include_str!("sh/end_stdin.sh"), id, &[], Stdin::Closed)
}

/// The command that tells the terminal of a process its size.
pub fn resize(id: &ProcessId, columns: u16, rows: u16) -> Command {
    let (columns, rows) = (columns.to_string(), rows.to_string());
    control::command(include_str!("sh/resize.sh"), id, &[&columns, &rows], Stdin::Closed)
}

/// The command that runs `argv` as the user, with the environment and in the directory of a process. It is killed with
/// the process. Code 126 where the process is gone.
pub fn inside(id: &ProcessId, argv: &[String], stdin: Stdin) -> Command {
    let arguments: Vec<&str> = argv.iter().map(String::as_str).collect();
    control::command(include_str!("sh/inside.sh"), id, &arguments, stdin)
}
