//! What takes the line of a command apart in a guest, before its program does.

/// What takes the line of a command apart in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpreter {
    /// `cmd`, for which the line is quoted. Over `WinRM` Windows from Server 2012 R2 on knows no other way, and an earlier one finds
    /// a program without `cmd` only by its full path; over SSH it is the login shell of a Windows that was told of no other.
    #[default]
    Cmd,
    /// None of Windows': over `WinRM` the program itself does it, over SSH whatever login shell of Unix the user has.
    None,
}
