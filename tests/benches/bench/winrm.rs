//! `WinRM`: commands, and bytes to a program's input, beside pypsrp; to the server that stands for Windows in the tests.
//!
//! ```text
//!   exec      true, one after the other, in a warm shell                          over HTTPS
//!   upload    bytes -> Send, Send, ... -> cat into a file                          over HTTPS, and over sealed HTTP
//!   download  cat of a file -> Receive, Receive, ... -> counted                    ours alone
//!   copy      guests::copy: the same with a hash on both sides, put there at once  ours alone
//! ```
//!
//! Both do the same work in turns: the server is a process of its own, and the programs are those of this machine. pypsrp's own
//! `Client.copy` would be `PowerShell` in the guest, which is not to be had here, so its bytes go to a program's input as well,
//! in messages as long as the server takes, over one connection and one shell that it keeps. The files lie in memory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use guests::{Family, copy};
use rand::RngCore as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;
use transports::winrm::{Interpreter, Security};
use transports::{Bounds, Credential, Exit, Identity, Session, Stdin, Target, Transport as _};
use transports::{Winrm, WinrmOptions, capture};

use crate::figures::{median, rounded};
use crate::say;

const USER: &str = "Administrator";
const PASSWORD: &str = "a password of the benchmark";
/// Commands in a turn.
const TURN: u32 = 25;
/// Bytes of a turn.
const TURN_BYTES: usize = 32 << 20;
/// What ours shall be, as a multiple of the peer's rate.
const GOAL: f64 = 2.0;
/// What a copy shall reach, in megabytes a second.
const GOAL_MB: f64 = 40.0;

pub(crate) async fn measure(rounds: usize) -> Result<Value> {
    let mut tls = Lane::open(true).await?;
    let mut sealed = Lane::open(false).await?;
    let (mut exec, mut over_tls, mut over_seals) = (Pair::default(), Pair::default(), Pair::default());
    let (mut downloads, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        exec.theirs.push(block_in_place(|| tls.their_commands())?);
        exec.ours.push(tls.our_commands().await?);
        for (lane, pair) in [(&mut tls, &mut over_tls), (&mut sealed, &mut over_seals)] {
            pair.theirs.push(block_in_place(|| lane.their_upload())?);
            pair.ours.push(lane.our_upload().await?);
        }
        downloads.push(tls.our_download().await?);
        copies.push(tls.our_copy().await?);
    }
    let (download, copy) = (median(&downloads), median(&copies));
    say(&format!("winrm: download {download:.0} MB/s, copy into the guest {copy:.0} MB/s"));
    Ok(json!({
        "exec": exec.told("commands", "/s"),
        "upload_over_https": over_tls.told("upload over HTTPS", " MB/s"),
        "upload_over_sealed_http": over_seals.told("upload over sealed HTTP", " MB/s"),
        "download_mb_per_second": rounded(download),
        "copy_mb_per_second": rounded(copy),
        "goal_at_least": GOAL,
        "goal_copy_mb_per_second_at_least": GOAL_MB,
        "rounds": rounds,
        "commands_per_round": TURN,
        "bytes_per_round": TURN_BYTES,
    }))
}

/// Rates.
#[derive(Default)]
struct Pair {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pair {
    fn told(&self, what: &str, unit: &str) -> Value {
        let (ours, theirs) = (median(&self.ours), median(&self.theirs));
        let ratio = ours / theirs;
        say(&format!("winrm: {what} {ours:.0}{unit}, pypsrp {theirs:.0}{unit}, ratio {ratio:.2}"));
        json!({ "ours": rounded(ours), "pypsrp": rounded(theirs), "ratio": rounded(ratio) })
    }
}

/// A server, and both clients of it.
struct Lane {
    session: Arc<dyn Session>,
    theirs: Pypsrp,
    file: PathBuf,
    content: Vec<u8>,
    received: PathBuf,
    _folder: TempDir,
    _server: Ended,
}

impl Lane {
    async fn open(tls: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-winrm-").tempdir_in("/dev/shm")?;
        let (file, received) = (folder.path().join("file"), folder.path().join("received"));
        let mut content = vec![0; TURN_BYTES];
        rand::rng().fill_bytes(&mut content);
        std::fs::write(&file, &content)?;
        let (server, url) = block_in_place(|| serve(folder.path(), tls))?;
        let certificate = folder.path().join("certificate");
        let target = target(&url, tls.then_some(&certificate))?;
        let security = if tls { Security::Tls } else { Security::SealedMessages };
        let options = WinrmOptions { security, interpreter: Interpreter::None, ..WinrmOptions::default() };
        let session: Arc<dyn Session> = Winrm::new(options).connect(&target).await?.into();
        let theirs = block_in_place(|| Pypsrp::start(&url, &certificate, &file))?;
        let mut lane = Self { session, theirs, file, content, received, _folder: folder, _server: server };
        // Not measured: what both do only once.
        lane.our_upload().await?;
        block_in_place(|| lane.their_upload())?;
        Ok(lane)
    }

    /// What takes the bytes. A whole piece fits into its pipe (`F_SETPIPE_SZ`), so that the server does not wait for it.
    fn receiving(&self) -> [String; 3] {
        let line = format!("perl -e 'fcntl(STDIN, 1031, 1 << 20)'; exec cat >'{}'", self.received.display());
        ["sh".into(), "-c".into(), line]
    }

    /// Whether all has arrived; it is gone then.
    fn arrived(&self, at: &Path) -> Result<()> {
        let whole = std::fs::read(at)? == self.content;
        std::fs::remove_file(at)?;
        ensure!(whole, "other bytes arrived");
        Ok(())
    }

    async fn our_commands(&self) -> Result<f64> {
        let began = Instant::now();
        for _ in 0..TURN {
            run(&*self.session, &["true".into()], Stdin::Closed).await?;
        }
        Ok(f64::from(TURN) / began.elapsed().as_secs_f64())
    }

    fn their_commands(&mut self) -> Result<f64> {
        let began = Instant::now();
        self.theirs.ask(&json!({"argv": ["true"], "times": TURN, "upload": false}))?;
        Ok(f64::from(TURN) / began.elapsed().as_secs_f64())
    }

    async fn our_upload(&self) -> Result<f64> {
        let bytes = Stdin::Bytes(self.content.clone().into());
        let began = Instant::now();
        run(&*self.session, &self.receiving(), bytes).await?;
        let rate = rate(began);
        self.arrived(&self.received)?;
        Ok(rate)
    }

    fn their_upload(&mut self) -> Result<f64> {
        let job = json!({"argv": self.receiving(), "times": 1, "upload": true});
        let began = Instant::now();
        self.theirs.ask(&job)?;
        let rate = rate(began);
        self.arrived(&self.received)?;
        Ok(rate)
    }

    async fn our_download(&self) -> Result<f64> {
        let began = Instant::now();
        let argv = vec!["cat".to_owned(), self.file.display().to_string()];
        let mut process = self.session.exec(transports::Command { argv, stdin: Stdin::Closed }).await?;
        let mut bytes = 0;
        while let Some(output) = process.output.recv().await {
            bytes += output.data.len();
        }
        let exit = process.exit.await?;
        ensure!(exit == Exit::Code(0) && bytes == TURN_BYTES, "{bytes} bytes came, and {exit:?}");
        Ok(rate(began))
    }

    async fn our_copy(&self) -> Result<f64> {
        let to = self.received.to_str().context("a folder without a name")?;
        let began = Instant::now();
        copy::upload(&*self.session, Family::Unix, &self.file, to, 0o600).await?;
        let rate = rate(began);
        self.arrived(&self.received)?;
        Ok(rate)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
fn rate(began: Instant) -> f64 {
    TURN_BYTES as f64 / 1e6 / began.elapsed().as_secs_f64()
}

async fn run(session: &dyn Session, argv: &[String], stdin: Stdin) -> Result<()> {
    let command = transports::Command { argv: argv.to_vec(), stdin };
    let bounds = Bounds { timeout: Some(Duration::from_secs(60)), limit_bytes: 1 << 16 };
    let captured = capture(session, command, bounds).await?;
    ensure!(captured.exit == Exit::Code(0), "{argv:?} ended with {:?}", captured.exit);
    Ok(())
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A variable that `cargo xtask bench` sets.
fn given(name: &str) -> Result<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set: run cargo xtask bench"))
}

/// The server, and where it listens.
fn serve(folder: &Path, tls: bool) -> Result<(Ended, String)> {
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD)?;
    let mut server = Command::new(given("INFRANETES_WINRM_PEER")?);
    server.args(["--user", USER, "--password-file"]).arg(password);
    if tls {
        server.arg("--certificate").arg(folder.join("certificate"));
    }
    let mut server = Ended(server.stdout(Stdio::piped()).spawn().context("cannot run winrm-peer")?);
    let mut url = String::new();
    BufReader::new(server.0.stdout.take().context("it has no output")?).read_line(&mut url)?;
    ensure!(!url.is_empty(), "winrm-peer does not listen");
    Ok((server, url.trim().to_owned()))
}

fn target(url: &str, certificate: Option<&PathBuf>) -> Result<Target> {
    let address = url.split('/').nth(2).context("a URL without an address")?.parse()?;
    let identity = match certificate {
        Some(path) => Identity::Pinned(vec![std::fs::read_to_string(path)?]),
        None => Identity::TrustOnFirstUse,
    };
    let credentials = vec![Credential::Password(PASSWORD.into())];
    let (user, host_name, legacy_algorithms) = (USER.into(), None, Vec::new());
    Ok(Target { address, user, host_name, credentials, identity, legacy_algorithms })
}

/// A process of Python that has a shell open.
struct Pypsrp {
    jobs: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Ended,
}

impl Pypsrp {
    fn start(url: &str, certificate: &Path, file: &Path) -> Result<Self> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench/winrm.py");
        let mut process = Command::new(given("INFRANETES_WINRM_CLIENTS")?)
            .arg(program)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run Python")?;
        let (Some(jobs), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("Python has no input or output")
        };
        let mut theirs = Self { jobs, answers: BufReader::new(answers), _process: Ended(process) };
        let to = json!({
            "url": url, "certificate": certificate, "user": USER, "password": PASSWORD, "file": file,
        });
        theirs.ask(&to)?;
        Ok(theirs)
    }

    /// Asks for something, and waits until it is done.
    fn ask(&mut self, job: &Value) -> Result<()> {
        writeln!(self.jobs, "{job}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "pypsrp has failed: its words are above");
        Ok(())
    }
}
