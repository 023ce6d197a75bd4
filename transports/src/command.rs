//! A command in a guest: what is asked, what comes back, how it ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// What shall be run.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments. They arrive in the guest as they are here, whatever characters they hold and
    /// whatever the login shell is.
    pub argv: Vec<String>,
    /// What the program reads.
    pub stdin: Stdin,
}

/// The standard input of a command.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// End of file at once.
    #[default]
    Closed,
    /// These bytes, then end of file.
    Bytes(Bytes),
    /// What is sent to [`Process::stdin`], until that is dropped.
    Piped,
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Debug, Clone)]
pub struct Output {
    /// Where it was written.
    pub stream: Stream,
    /// What was written.
    pub data: Bytes,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code. Where the guest has 32 bits without a sign, as Windows, these bits.
    Code(i32),
    /// By a signal, named without `SIG`: where the protocol tells that, or the command was killed by us.
    Signal(String),
    /// The connection was lost first: nobody knows.
    Lost(String),
}

/// A running command. Dropping it kills the command (with all of its process group, where the guest allows that).
#[derive(Debug)]
pub struct Process {
    /// Writes to its standard input where that is [`Stdin::Piped`]; dropping it is end of file.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// Its output, in order; ends when both streams have ended. A bounded queue: who does not read it slows the
    /// command down and nothing else.
    pub output: mpsc::Receiver<Output>,
    /// How it ended, told after the last output.
    pub exit: oneshot::Receiver<Exit>,
    /// Held as long as the process is wanted; dropped, the command is killed.
    pub guard: Option<oneshot::Sender<()>>,
}

/// Everything that a short command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: Exit,
    /// Bytes that were read and thrown away because the limit was passed.
    pub discarded: u64,
}

/// The bounds of a captured command.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The command is killed when it takes longer; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The most bytes kept of each stream.
    pub limit_bytes: usize,
}
