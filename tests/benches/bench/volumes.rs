//! A volume of 1 MiB that has changed, beside one upload by SFTP of the same bytes: to one server on loopback, in turns.
//!
//! Ours is sent, unpacked beside the old files and put in their place at once; the peer's file is written over the old one. The
//! peer is a process of `sftp` on a warm `ControlMaster`, as people and scripts use it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use guests::Family;
use guests::volume::{self, Entry, Kind, Mount, Name, Tree};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use transports::{Session, Ssh, Transport as _};

use crate::figures::{median, rounded};
use crate::say;
use crate::sshd::Sshd;

/// Bytes of the volume.
const BYTES: usize = 1 << 20;
/// The most that ours may take, as a multiple of the peer's time.
const GOAL: f64 = 1.2;

pub(crate) async fn measure(rounds: usize) -> Result<Value> {
    let sshd = block_in_place(Sshd::start_for_root)?;
    let master = block_in_place(|| sshd.master())?;
    let session = Ssh::default().connect(&sshd.target()).await?;
    let (name, mount) = (Name::new("bench")?, Name::new("bench-mount")?);
    let mount = Mount { name: &mount, part: None, path: "/run/bench-volume", read_only: true };
    // Not measured: what both do only once.
    let mut base = content(0)?;
    volume::put(&*session, Family::Unix, &name, &base.0, None, Some(&mount)).await?;
    block_in_place(|| upload(&sshd, &master, &base.1))?;
    let (mut puts, mut uploads) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let next = content(round)?;
        uploads.push(block_in_place(|| upload(&sshd, &master, &next.1))?);
        puts.push(put(&*session, &name, &next.0, &base.0).await?);
        base = next;
    }
    let (put, upload) = (median(&puts), median(&uploads));
    let ratio = put / upload;
    say(&format!("volumes: 1 MiB in {put:.1} ms, by sftp {upload:.1} ms, ratio {ratio:.2}"));
    Ok(json!({
        "put_ms": rounded(put),
        "sftp_ms": rounded(upload),
        "ratio": rounded(ratio),
        "goal_at_most": GOAL,
        "bytes": BYTES,
        "rounds": rounds,
    }))
}

/// Bytes that no two rounds have in common, as a volume and as they are.
fn content(round: usize) -> Result<(Tree, Vec<u8>)> {
    // A generator of Marsaglia's: nothing on the way can make it smaller.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (round as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    let mut tree = Tree::new();
    let kind = Kind::File(bytes.clone().into());
    tree.add("file", Entry { kind, mode: 0o644, uid: 0, gid: 0 })?;
    Ok((tree, bytes))
}

/// Milliseconds until the guest has the volume.
async fn put(session: &dyn Session, name: &Name, tree: &Tree, base: &Tree) -> Result<f64> {
    let began = Instant::now();
    volume::put(session, Family::Unix, name, tree, Some(base), None).await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Milliseconds until the peer has uploaded these bytes.
fn upload(sshd: &Sshd, master: &Path, bytes: &[u8]) -> Result<f64> {
    let (file, batch) = (sshd.path("upload"), sshd.path("batch"));
    std::fs::write(&file, bytes)?;
    std::fs::write(&batch, format!("put {} /run/bench-upload\n", file.display()))?;
    let mut sftp = Command::new("sftp");
    sftp.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]);
    sftp.arg("-o").arg(format!("ControlPath={}", master.display())).arg("-b").arg(&batch);
    sftp.arg(sshd.login()).stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = sftp.status().context("cannot run sftp: apt-get install openssh-client")?;
    ensure!(status.success(), "sftp ended with {status}");
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
