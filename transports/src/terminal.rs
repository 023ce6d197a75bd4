//! Commands on a terminal: what a person at a screen needs, and what a protocol may lack.
//!
//! The command runs in a session of its own whose controlling terminal the guest makes. Both output streams are one
//! then, told as standard output; Ctrl-C reaches the foreground program as a byte of standard input; the end of standard
//! input is no end of file, since a terminal knows only Ctrl-D.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Command, Process, Result};

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Size {
    /// What a terminal has that was never told its size.
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// A command that runs on a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The command. Dropped, it is killed with every process of its session, foreground and background.
    pub process: Process,
    /// Tells the terminal's size; the last one counts.
    pub resize: watch::Sender<Size>,
}

/// The ability to run commands on a terminal.
#[async_trait]
pub trait Terminals: Send + Sync {
    /// Starts a command on a terminal of this size. Its reader may be slow: it never slows down another command.
    async fn open(&self, command: Command, size: Size) -> Result<Terminal>;
}
