//! Commands on a warm session, beside OpenSSH's `ControlMaster`.
//!
//! Both run `true` one after the other on one open connection to the same server, in turns, so that whatever else the
//! machine does meets both. The peer is a process of `ssh` for each command, as people and scripts use it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use transports::{Bounds, Command, Exit, Session, Ssh, Stdin, Transport as _, capture};

use crate::figures::{median, rounded};
use crate::say;
use crate::sshd::Sshd;

/// Commands in a turn.
const TURN: u32 = 25;
/// What ours shall be, as a multiple of the peer's rate.
const GOAL: f64 = 3.0;

pub(crate) async fn measure(rounds: usize) -> Result<Value> {
    let sshd = block_in_place(Sshd::start)?;
    let master = block_in_place(|| sshd.master())?;
    let session = Ssh::default().connect(&sshd.target()).await?;
    // Not measured: what both do only once.
    ours(&*session).await?;
    block_in_place(|| theirs(&sshd, &master))?;
    let (mut ours_rates, mut their_rates) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        their_rates.push(block_in_place(|| theirs(&sshd, &master))?);
        ours_rates.push(ours(&*session).await?);
    }
    drop(session);
    let (ours, theirs) = (median(&ours_rates), median(&their_rates));
    say(&format!("exec: {ours:.0}/s, ControlMaster {theirs:.0}/s, ratio {:.2}", ours / theirs));
    Ok(json!({
        "ours_per_second": rounded(ours),
        "controlmaster_per_second": rounded(theirs),
        "ratio": rounded(ours / theirs),
        "goal_at_least": GOAL,
        "rounds": rounds,
        "commands_per_round": TURN,
    }))
}

/// Our rate in commands a second.
async fn ours(session: &dyn Session) -> Result<f64> {
    let began = Instant::now();
    for _ in 0..TURN {
        let command = Command { argv: vec!["true".into()], stdin: Stdin::Closed };
        let bounds = Bounds { timeout: Some(Duration::from_secs(30)), limit_bytes: 1 << 20 };
        let captured = capture(session, command, bounds).await?;
        ensure!(captured.exit == Exit::Code(0), "true ended with {:?}", captured.exit);
    }
    Ok(f64::from(TURN) / began.elapsed().as_secs_f64())
}

/// The peer's rate in commands a second.
fn theirs(sshd: &Sshd, master: &std::path::Path) -> Result<f64> {
    let began = Instant::now();
    for _ in 0..TURN {
        let status = sshd.client(master, &[]).arg("true").status()?;
        ensure!(status.success(), "ssh ended with {status}");
    }
    Ok(f64::from(TURN) / began.elapsed().as_secs_f64())
}
