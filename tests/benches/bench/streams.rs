//! Bytes through a session: a command's output beside `ssh`, and a connection to a port beside `ssh -L`.
//!
//! ```text
//!   exec          head of /dev/zero -> sshd -> us | ssh -> counted
//!   port-forward  a sender on loopback -> sshd -> us | ssh -L -> counted
//! ```
//!
//! Both carry the same number of bytes from the same server over a connection that is open already, in turns. Each has
//! the ciphers that it prefers, as people use them.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::task::block_in_place;
use transports::{Command, Exit, Session, Ssh, Stdin, Transport as _};

use crate::figures::{median, rounded};
use crate::say;
use crate::sshd::{Sshd, run};

/// Bytes of a turn.
const TURN_BYTES: usize = 256 << 20;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;
/// What ours shall be at least, as a share of the peer's.
const GOAL: f64 = 0.9;
/// How long `ssh` may take to listen.
const START: Duration = Duration::from_secs(10);

pub(crate) async fn measure(rounds: usize) -> Result<Value> {
    let sshd = block_in_place(Sshd::start)?;
    let master = block_in_place(|| sshd.master())?;
    let session = Ssh::default().connect(&sshd.target()).await?;
    let sender = Sender::start()?;
    let forwarded = block_in_place(|| forwarded(&sshd, &master, sender.port))?;

    let (mut exec, mut forward) = (Pair::default(), Pair::default());
    for _ in 0..rounds {
        exec.theirs.push(block_in_place(|| their_exec(&sshd, &master))?);
        exec.ours.push(our_exec(&*session).await?);
        forward.theirs.push(block_in_place(|| their_forward(forwarded))?);
        forward.ours.push(our_forward(&*session, sender.port).await?);
    }
    Ok(json!({
        "exec": exec.told("streaming exec", "ssh"),
        "port_forward": forward.told("port-forward", "ssh -L"),
        "goal_at_least": GOAL,
        "rounds": rounds,
        "bytes_per_round": TURN_BYTES,
    }))
}

/// Rates in megabytes a second.
#[derive(Default)]
struct Pair {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pair {
    fn told(&self, what: &str, peer: &str) -> Value {
        let (ours, theirs) = (median(&self.ours), median(&self.theirs));
        let ratio = ours / theirs;
        say(&format!("streams: {what} {ours:.0} MB/s, {peer} {theirs:.0} MB/s, ratio {ratio:.2}"));
        json!({ "ours_mb_per_second": rounded(ours), "peer_mb_per_second": rounded(theirs), "ratio": rounded(ratio) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
fn rate(bytes: usize, began: Instant) -> f64 {
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn command() -> [String; 4] {
    ["head".into(), "-c".into(), TURN_BYTES.to_string(), "/dev/zero".into()]
}

async fn our_exec(session: &dyn Session) -> Result<f64> {
    let began = Instant::now();
    let mut process = session.stream(Command { argv: command().into(), stdin: Stdin::Closed }).await?;
    let mut bytes = 0;
    while let Some(output) = process.output.recv().await {
        bytes += output.data.len();
    }
    let exit = process.exit.await?;
    ensure!(exit == Exit::Code(0) && bytes == TURN_BYTES, "{bytes} bytes came, and {exit:?}");
    Ok(rate(bytes, began))
}

fn their_exec(sshd: &Sshd, master: &Path) -> Result<f64> {
    let began = Instant::now();
    let mut ssh = sshd.client(master, &[]).args(command()).stdout(Stdio::piped()).spawn()?;
    let bytes = drain(ssh.stdout.take().context("ssh has no output")?)?;
    let status = ssh.wait()?;
    ensure!(status.success() && bytes == TURN_BYTES, "{bytes} bytes came, and {status}");
    Ok(rate(bytes, began))
}

async fn our_forward(session: &dyn Session, port: u16) -> Result<f64> {
    let began = Instant::now();
    let ports = session.port_forward().context("the session forwards no ports")?;
    let mut stream = ports.connect("127.0.0.1", port).await?;
    let (mut piece, mut bytes) = (vec![0; PIECE_BYTES], 0);
    loop {
        match stream.read(&mut piece).await? {
            0 => break,
            count => bytes += count,
        }
    }
    ensure!(bytes == TURN_BYTES, "{bytes} bytes came");
    Ok(rate(bytes, began))
}

fn their_forward(port: u16) -> Result<f64> {
    let began = Instant::now();
    let bytes = drain(TcpStream::connect(("127.0.0.1", port))?)?;
    ensure!(bytes == TURN_BYTES, "{bytes} bytes came");
    Ok(rate(bytes, began))
}

fn drain(mut from: impl Read) -> Result<usize> {
    let (mut piece, mut bytes) = (vec![0; PIECE_BYTES], 0);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(bytes),
            count => bytes += count,
        }
    }
}

/// Has the peer's connection forward a port of its choice to this one.
fn forwarded(sshd: &Sshd, master: &Path, to: u16) -> Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    run(&mut sshd.client(master, &["-O", "forward", "-L", &format!("127.0.0.1:{port}:127.0.0.1:{to}")]))?;
    let until = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < until, "ssh does not listen on the port that it forwards");
        thread::park_timeout(Duration::from_millis(20));
    }
    Ok(port)
}

/// A program on loopback that sends a turn's bytes to whoever connects.
struct Sender {
    port: u16,
}

impl Sender {
    /// It ends with the program.
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                // One that leaves early is only a look whether somebody listens.
                thread::spawn(move || {
                    let mut zeros = std::io::repeat(0).take(TURN_BYTES as u64);
                    let _ = std::io::copy(&mut zeros, &mut connection);
                });
            }
        });
        Ok(Self { port })
    }
}
