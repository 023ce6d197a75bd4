//! What the `WinRM` transport speaks over, its deadlines and bounds.

use std::time::Duration;

use super::authenticate::Method;
pub use crate::interpreter::Interpreter;

/// How messages are kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// HTTPS: the certificate proves which machine it is.
    #[default]
    Tls,
    /// HTTP with each message sealed by what the login brought. Nothing but knowing the password proves which machine it is, or
    /// with Kerberos the domain.
    SealedMessages,
}

/// Security, deadlines and bounds. The defaults fit Windows' own default quotas (30 shells a user, 25 processes a
/// shell, 1,500 operations, 300 connections) with room for others.
#[derive(Debug, Clone)]
pub struct WinrmOptions {
    /// How messages are kept from others.
    pub security: Security,
    /// What takes commands apart in the guest.
    pub interpreter: Interpreter,
    /// The ways to log in that may be used, the best first; one of them has to be offered.
    pub methods: Vec<Method>,
    /// How long one TCP connection attempt may take while nobody knows whether the guest is there; later ones have a few
    /// seconds.
    pub tcp_timeout: Duration,
    /// How long connecting may take in all, with the handshakes.
    pub connect_timeout: Duration,
    /// How long a command may take until it is started (not until it ends).
    pub start_timeout: Duration,
    /// How long a request may take in the guest before it says so: a question for output is asked anew then. Within
    /// [1 s, 60 s].
    pub poll_timeout: Duration,
    /// How long the guest may take to answer anything beyond that.
    pub answer_timeout: Duration,
    /// A guest that was not heard of for so long is asked for a sign of life, and given up after three unanswered ones.
    pub keepalive_interval: Duration,
    /// The most connections of one session that wait in the guest for output.
    pub poll_connections: usize,
    /// The most further connections that wait for a program to take its input.
    pub input_connections: usize,
    /// The most further connections over which input goes ahead of its turn.
    pub ahead_connections: usize,
    /// The most further connections, whose answers come at once.
    pub brief_connections: usize,
    /// The most shells of one session.
    pub shells: usize,
    /// The most commands at once in one shell, which share its memory in the guest.
    pub commands_per_shell: usize,
    /// How many commands a shell may have had in all. Windows counts each against its user until the shell is deleted.
    pub commands_in_all: usize,
    /// How long no more is asked for than the guest allowed, before one more shell, or command in one, is tried.
    pub refusal_holds: Duration,
    /// How long a shell is kept without a command.
    pub idle_timeout: Duration,
    /// After how long without a request the guest itself deletes a shell, should we be gone: until then what runs in it goes
    /// on. At least 60 s on Windows.
    pub abandoned_timeout: Duration,
    /// The longest message, in bytes; less is used once a guest says that it takes less.
    pub envelope_bytes: usize,
}

impl Default for WinrmOptions {
    fn default() -> Self {
        Self {
            security: Security::default(),
            interpreter: Interpreter::default(),
            methods: Method::USUAL.into(),
            tcp_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(30),
            poll_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(10),
            poll_connections: 100,
            input_connections: 48,
            ahead_connections: 32,
            brief_connections: 16,
            shells: 20,
            commands_per_shell: 5,
            commands_in_all: 50,
            refusal_holds: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            abandoned_timeout: Duration::from_secs(60),
            envelope_bytes: 500 * 1024,
        }
    }
}
