//! What the SSH transport speaks to, its deadlines and bounds.

use std::time::Duration;

use crate::Interpreter;

/// The login shell, deadlines and bounds. The defaults suit guests under emulation, where a key exchange takes a second.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Whether the login shell is `cmd`, as on Windows, or one of Unix.
    pub interpreter: Interpreter,
    /// How long one TCP connection attempt may take. Short, for a guest that boots drops the first packets, and the
    /// kernel repeats them ever more slowly.
    pub tcp_timeout: Duration,
    /// How long the server may take to send its first line, counted from the TCP connection.
    pub banner_timeout: Duration,
    /// How long connecting may take in all, with the key exchange and the authentication.
    pub connect_timeout: Duration,
    /// How long a command may take until it is started (not until it ends).
    pub start_timeout: Duration,
    /// A silent connection is asked for a sign of life this often, and given up after three unanswered ones.
    pub keepalive_interval: Duration,
    /// The most commands at once on one connection. `OpenSSH` allows ten by default; the rest is kept for killing.
    pub commands_per_connection: usize,
    /// The most connections of one session. Commands beyond them wait.
    pub connections: usize,
    /// How long a connection beyond the first is kept without a command.
    pub idle_timeout: Duration,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            interpreter: Interpreter::None,
            tcp_timeout: Duration::from_secs(1),
            banner_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(10),
            commands_per_connection: 8,
            connections: 32,
            idle_timeout: Duration::from_secs(30),
        }
    }
}
