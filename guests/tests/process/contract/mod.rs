//! What every guest does with processes.

#![allow(unreachable_pub, reason = "each clause is named by the macro")]

mod beside;
mod lifetime;
mod output;
mod running;

pub use beside::*;
pub use lifetime::*;
pub use output::*;
pub use running::*;

use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::process::{
    self, Capabilities, Event, Guest, Limits, Offset, OutputStream, ProcessExit, ProcessId, ProcessSpec,
    ProcessState, StdinMode, User,
};
use tokio::time::timeout;
use transports::{Bounds, Captured, Command, Session, Ssh, SshOptions, Stdin, Stream, Transport, capture};

use super::machines::Machine;
use super::servers::Server;

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where a guest is.
pub enum At {
    Server(Server),
    Machine(Machine),
}

impl At {
    async fn connect(&self) -> Arc<dyn Session> {
        match self {
            Self::Server(server) => {
                Ssh::new(SshOptions::default()).connect(&server.target()).await.unwrap().into()
            }
            Self::Machine(machine) => machine.connect().await,
        }
    }
}

/// A guest that a clause has for itself.
pub struct Place {
    pub at: At,
    pub session: Arc<dyn Session>,
    pub guest: Arc<dyn Guest>,
}

impl Place {
    pub async fn new(server: Server) -> Self {
        Self::at(At::Server(server)).await
    }

    pub async fn on(machine: Machine) -> Self {
        Self::at(At::Machine(machine)).await
    }

    async fn at(at: At) -> Self {
        let session = at.connect().await;
        Self::with(at, session).await
    }

    pub async fn with(at: At, session: Arc<dyn Session>) -> Self {
        let guest = process::detect(&*session, Family::Unix).await.unwrap();
        Self { at, session, guest }
    }

    /// `all` where a step is cheap; `few` of them on a machine, which may be emulated and need seconds for each.
    pub fn pick<T>(&self, all: T, few: T) -> T {
        match self.at {
            At::Server(_) => all,
            At::Machine(_) => few,
        }
    }

    pub async fn connect(&self) -> Arc<dyn Session> {
        self.at.connect().await
    }

    pub async fn start(&self, spec: &ProcessSpec) -> ProcessState {
        timeout(PATIENCE, self.guest.start(&*self.session, spec)).await.unwrap().unwrap()
    }

    pub async fn state(&self, spec: &ProcessSpec) -> ProcessState {
        timeout(PATIENCE, self.guest.state(&*self.session, &spec.id)).await.unwrap().unwrap()
    }

    pub async fn follow(&self, spec: &ProcessSpec, from: Option<Offset>) -> OutputStream {
        self.guest.follow(self.session.clone(), &spec.id, from).await.unwrap()
    }

    pub async fn remove(&self, spec: &ProcessSpec) {
        timeout(PATIENCE, self.guest.remove(&*self.session, &spec.id)).await.unwrap().unwrap();
        assert_eq!(self.state(spec).await, ProcessState::Absent);
    }

    pub async fn command(&self, command: Command) -> Captured {
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 1 << 20 };
        capture(&*self.session, command, bounds).await.unwrap()
    }

    /// What a script prints that looks at the guest as root.
    pub async fn sh(&self, script: &str) -> String {
        let mut argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        if matches!(&self.at, At::Server(server) if server.user != "root") {
            argv.splice(0..0, ["sudo", "-n"].map(str::to_owned));
        }
        let captured = self.command(Command { argv, stdin: Stdin::Closed }).await;
        String::from_utf8(captured.stdout).unwrap().trim().to_owned()
    }

    /// Starts it, reads all that it prints, and removes it.
    pub async fn run(&self, spec: &ProcessSpec) -> Told {
        self.start(spec).await;
        let told = read(&mut self.follow(spec, None).await).await;
        assert_eq!(self.state(spec).await, ProcessState::Exited(told.exit.clone()));
        self.remove(spec).await;
        told
    }
}

/// What a process printed and how it ended.
#[derive(Debug)]
pub struct Told {
    pub stdout: String,
    pub stderr: String,
    pub exit: ProcessExit,
}

pub async fn next(stream: &mut OutputStream) -> Event {
    timeout(PATIENCE, stream.next()).await.expect("an event in time").expect("an event").expect("no error")
}

pub async fn read(stream: &mut OutputStream) -> Told {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match next(stream).await {
            Event::Output { stream: Stream::Stdout, data, .. } => stdout.extend_from_slice(&data),
            Event::Output { stream: Stream::Stderr, data, .. } => stderr.extend_from_slice(&data),
            Event::Exited(exit) => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return Told { stdout: text(stdout), stderr: text(stderr), exit };
            }
        }
    }
}

pub fn spec(id: &str, argv: &[&str]) -> ProcessSpec {
    ProcessSpec {
        id: ProcessId::new(id).unwrap(),
        argv: argv.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        working_dir: None,
        user: User::default(),
        stdin: StdinMode::Closed,
        tty: false,
        limits: Limits::default(),
        capabilities: Capabilities::default(),
        no_new_privileges: false,
        message_path: None,
        stop_signal: None,
    }
}

pub fn script(id: &str, script: &str) -> ProcessSpec {
    spec(id, &["sh", "-c", script])
}

/// Makes a module for each guest, with a test for each clause, and a function that does all clauses in turn.
#[macro_export]
macro_rules! contract {
    ($($make:ident),*) => {
        $(mod $make {
            $crate::contract!(@tests super::$make: clauses);
        })*
        $crate::contract!(@all clauses);
    };
    (@tests $make:path: clauses) => {
        $crate::contract!(@tests $make: exit_codes, signals_are_told_and_end_it, words_and_values_survive, environment_is_what_is_asked, directory_user_and_groups, capabilities_are_dropped, a_start_happens_once, megabytes_arrive_once_across_cuts, an_unread_process_waits_and_goes_on, removal_ends_all_that_it_started, messages_are_read, standard_input_once_and_kept, a_terminal, another_program_inside, a_killed_supervisor_is_told, late_followers_join, limits_hold, limits_change);
    };
    (@all clauses) => {
        $crate::contract!(@all exit_codes, signals_are_told_and_end_it, words_and_values_survive, environment_is_what_is_asked, directory_user_and_groups, capabilities_are_dropped, a_start_happens_once, megabytes_arrive_once_across_cuts, an_unread_process_waits_and_goes_on, removal_ends_all_that_it_started, messages_are_read, standard_input_once_and_kept, a_terminal, another_program_inside, a_killed_supervisor_is_told, late_followers_join, limits_hold, limits_change);
    };
    (@tests $make:path: $($clause:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            $crate::contract::$clause(&$make().await).await;
        })*
    };
    (@all $($clause:ident),*) => {
        async fn every_clause(place: &Place) {
            $(
                let began = std::time::Instant::now();
                $crate::contract::$clause(place).await;
                let text = format!("{} took {:?}\n", stringify!($clause), began.elapsed());
                std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
            )*
        }
    };
}
