//! What every transport must do, whatever its protocol. A transport's test program names a function that makes a
//! fresh [`Guest`] and calls [`contract!`] with it; each clause below becomes a test of its own.
//!
//! The guest must understand POSIX `sh` commands. What a protocol may lack, the test program names ([`Guest::lacks`]); the
//! session has to say the same, and the clauses ask only that.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "each test program uses its part"
)]

mod connection;
mod forward;
mod output;
mod running;
mod terminal;

pub use connection::*;
pub use forward::*;
pub use output::*;
pub use running::*;
pub use terminal::*;

use std::sync::Arc;
use std::time::Duration;

use transports::{
    Bounds, Captured, Command, Identity, PortForward, Session, Stdin, Target, Terminals, Transport, capture,
};

/// One guest that a clause has for itself.
pub struct Guest {
    pub transport: Arc<dyn Transport>,
    pub target: Target,
    /// An identity that is not the guest's.
    pub other: Identity,
    /// What its protocol has not got.
    pub lacks: &'static [Ability],
    /// Cuts all of the guest's connections at once, without a word to either side's programs.
    pub cut: Box<dyn Fn() + Send + Sync>,
}

/// What a protocol may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// A proof of which machine the guest is.
    Identity,
    /// To tell by which signal a command has ended.
    Signals,
    /// Commands on a terminal.
    Terminals,
    /// Connections to the guest's ports.
    PortForward,
}

impl Guest {
    pub async fn session(&self) -> Box<dyn Session> {
        self.transport.connect(&self.target).await.expect("the guest lets us in")
    }

    /// Whether the guest was seen to have an ability, which has to be what was said of it.
    pub fn has(&self, ability: Ability, seen: bool) -> bool {
        assert_eq!(seen, !self.lacks.contains(&ability), "{ability:?}");
        seen
    }

    /// The session's terminals, where there are to be any.
    pub fn terminals<'a>(&self, session: &'a dyn Session) -> Option<&'a dyn Terminals> {
        let terminals = session.terminals();
        self.has(Ability::Terminals, terminals.is_some());
        terminals
    }

    /// The session's way to ports, where there is to be any.
    pub fn port_forward<'a>(&self, session: &'a dyn Session) -> Option<&'a dyn PortForward> {
        let forward = session.port_forward();
        self.has(Ability::PortForward, forward.is_some());
        forward
    }
}

/// Held by the clauses that measure this program's memory, or take much of it.
pub static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long what is expected may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn bounds() -> Bounds {
    Bounds { timeout: Some(PATIENCE), limit_bytes: 64 << 20 }
}

pub fn command(argv: &[&str]) -> Command {
    Command { argv: argv.iter().map(|&word| word.to_owned()).collect(), stdin: Stdin::Closed }
}

pub fn sh(script: &str) -> Command {
    command(&["sh", "-c", script])
}

/// The same with its input held open, so that nothing but its output is on the way.
pub fn held(script: &str) -> Command {
    Command { stdin: Stdin::Piped, ..sh(script) }
}

pub async fn run(session: &dyn Session, command: Command) -> Captured {
    capture(session, command, bounds()).await.expect("the command runs")
}

/// Whether a process of the guest is alive (a zombie is not).
pub async fn alive(session: &dyn Session, pid: &str) -> bool {
    let script = format!("grep -q '^State:[[:space:]]*[^Z]' /proc/{pid}/status 2>/dev/null && echo alive");
    !run(session, sh(&script)).await.stdout.is_empty()
}

/// Waits a bounded time until a process of the guest is gone.
pub async fn assert_dies(session: &dyn Session, pid: &str) {
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while alive(session, pid).await {
        assert!(std::time::Instant::now() < until, "process {pid} is still alive in the guest");
    }
}

/// Makes a test of every clause, over the guests that `$make` makes.
#[macro_export]
macro_rules! contract {
    ($make:path: $($clause:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            $crate::contract::$clause($make().await).await;
        })*
    };
    ($make:path) => {
        $crate::contract!($make:
            exit_codes_come_through, signals_come_through, a_missing_program_is_the_shells_127,
            both_streams_come_through_whole, output_beyond_the_bound_is_counted, stdin_comes_through_whole,
            stdin_can_end_before_output, arguments_come_through_as_they_are, a_timeout_kills_the_group,
            a_dropped_process_is_killed, a_cancelled_capture_is_killed, many_commands_run_at_once,
            a_command_that_ends_harms_no_beginning_one,
            a_cut_is_told_and_nothing_runs_twice, another_identity_gets_nothing, a_wrong_password_is_refused,
            a_kept_login_is_read_each_time, an_unread_command_harms_no_other, an_unread_stream_loses_nothing, a_dropped_session_ends_its_commands,
            a_terminal_has_its_size_and_one_stream, a_terminal_is_resized, ctrl_c_reaches_the_foreground,
            a_raw_terminal_carries_every_byte, a_terminal_without_input_goes_on,
            a_dropped_terminal_takes_every_job_along, a_forward_carries_both_ways_and_closes_by_halves,
            a_forward_to_nothing_says_so, an_unread_forward_harms_no_other,
        );
    };
}
