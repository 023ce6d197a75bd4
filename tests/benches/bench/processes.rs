//! A process that is started in a guest, beside a command: both of `true`, on one session to one server, in turns.
//!
//! The process is supervised from then on, so its start is more than a command; it shall cost no more than a few of them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use guests::Family;
use guests::process::{
    Capabilities, Guest, Limits, ProcessId, ProcessSpec, ProcessState, StdinMode, User, detect,
};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use transports::{Bounds, Command, Exit, Session, Ssh, Stdin, Transport as _, capture};

use crate::figures::{median, rounded};
use crate::say;
use crate::sshd::Sshd;

/// What a start may cost, in commands.
const GOAL: f64 = 3.0;

pub(crate) async fn measure(rounds: usize) -> Result<Value> {
    let sshd = block_in_place(Sshd::start)?;
    let session = Ssh::default().connect(&sshd.target()).await?;
    let guest = detect(&*session, Family::Unix).await?;
    let (mut starts, mut commands) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        commands.push(command(&*session, "true").await?);
        starts.push(start(&*session, &*guest, round).await?);
    }
    // What a guest keeps of its processes goes with its machine; this one's is ours.
    command(&*session, "rm -rf /dev/shm/infranetes-$(id -u) /tmp/infranetes-$(id -u)").await?;
    let (start, command) = (median(&starts), median(&commands));
    let ratio = start / command;
    say(&format!("processes: a start {start:.1} ms, a command {command:.1} ms, ratio {ratio:.2}"));
    Ok(json!({
        "start_ms": rounded(start),
        "command_ms": rounded(command),
        "ratio": rounded(ratio),
        "goal_at_most": GOAL,
        "rounds": rounds,
    }))
}

/// Milliseconds from the request to the answer that it runs, or has ended again.
async fn start(session: &dyn Session, guest: &dyn Guest, round: usize) -> Result<f64> {
    let spec = ProcessSpec {
        id: ProcessId::new(format!("bench-{round}"))?,
        argv: vec!["true".into()],
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
    };
    let began = Instant::now();
    let state = guest.start(session, &spec).await?;
    let took = milliseconds(began);
    ensure!(state != ProcessState::Absent, "the process was not started");
    guest.remove(session, &spec.id).await?;
    Ok(took)
}

/// Milliseconds of a command of the guest's shell.
async fn command(session: &dyn Session, script: &str) -> Result<f64> {
    let argv = ["sh", "-c", script].map(str::to_owned).into();
    let bounds = Bounds { timeout: Some(Duration::from_secs(30)), limit_bytes: 1 << 20 };
    let began = Instant::now();
    let captured = capture(session, Command { argv, stdin: Stdin::Closed }, bounds).await?;
    ensure!(captured.exit == Exit::Code(0), "{script:?} ended with {:?}", captured.exit);
    Ok(milliseconds(began))
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
