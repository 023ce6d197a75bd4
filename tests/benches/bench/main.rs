//! The measurements of `cargo xtask bench`: each beside a peer, in one run, so that the ratio tells more than the figure.
//!
//! ```text
//!   exec       commands on a warm session         beside OpenSSH's `ControlMaster`, on one server on loopback
//!   processes  the start of one in a guest        beside a command, on one server on loopback
//!   streams    bytes of a command, of a port      beside `ssh` and `ssh -L`, on one server on loopback
//!   volumes    a changed volume of 1 MiB          beside an upload by `sftp`, to one server on loopback
//!   swaps      changes of a volume under load     on a real machine: when they are in its guest
//!   winrm      commands and bytes over WinRM      beside pypsrp, to the server that stands for Windows, on loopback
//!   list       the CRI's calls at many pods       on the null provider and network, with what the daemon costs
//!   boot       RunPodSandbox to the first answer  beside a bare QEMU and a loop of ssh, on the same image
//!   delegate   calls to containerd behind us      beside calls to that containerd itself, in turns
//!   critest    critest's own benchmark            beside containerd, and containerd behind us; last, for it alone listens to
//!                                                 signals
//! ```
//!
//! Happy path: each part runs and its figures go into one JSON document. Failure paths: what cannot be measured (no root,
//! a missing program) ends the run with the remedy. A figure that misses its goal is reported, never an error.

mod boot;
#[path = "../../tests/e2e/client.rs"]
#[allow(dead_code, clippy::unused_async, reason = "it is what the end-to-end tests need")]
mod client;
mod cost;
mod critest;
mod delegate;
mod exec;
mod figures;
mod list;
mod processes;
mod sshd;
mod streams;
#[path = "../../tests/e2e/swapping.rs"]
mod swapping;
mod swaps;
mod volumes;
mod winrm;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};
use tests::critest::Counts;
use tests::interrupt;

/// What is measured, and how often.
struct Plan {
    json: PathBuf,
    only: Option<String>,
    boots: usize,
    rounds: usize,
    pods: usize,
    swaps: usize,
}

impl Plan {
    fn from_arguments() -> Result<Self> {
        let mut plan = Self {
            json: PathBuf::from("target/bench.json"),
            only: None,
            boots: 5,
            rounds: 20,
            pods: 1000,
            swaps: 1000,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                // Cargo says that this is a benchmark.
                "--bench" => {}
                "--json" => plan.json = value()?.into(),
                "--only" => plan.only = Some(value()?),
                "--boots" => plan.boots = value()?.parse()?,
                "--rounds" => plan.rounds = value()?.parse()?,
                "--pods" => plan.pods = value()?.parse()?,
                "--swaps" => plan.swaps = value()?.parse()?,
                other => bail!("{other} is no option of the benchmark: see `cargo xtask bench --help`"),
            }
        }
        Ok(plan)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// Says what is being done.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads: there is nobody to tell.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

#[tokio::main]
async fn main() -> Result<()> {
    let plan = Plan::from_arguments()?;
    let mut document = Map::new();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    document.insert("cores".into(), cores.into());
    if plan.wants("exec") {
        document.insert(
            "exec".into(),
            Box::pin(exec::measure(plan.rounds)).await.context("cannot measure exec")?,
        );
    }
    if plan.wants("processes") {
        document.insert(
            "processes".into(),
            Box::pin(processes::measure(plan.rounds)).await.context("cannot measure processes")?,
        );
    }
    if plan.wants("streams") {
        document.insert(
            "streams".into(),
            Box::pin(streams::measure(plan.rounds)).await.context("cannot measure streams")?,
        );
    }
    if plan.wants("volumes") {
        document.insert(
            "volumes".into(),
            Box::pin(volumes::measure(plan.rounds)).await.context("cannot measure volumes")?,
        );
    }
    if plan.wants("swaps") {
        document.insert(
            "swaps".into(),
            Box::pin(swaps::measure(plan.swaps)).await.context("cannot measure swaps")?,
        );
    }
    if plan.wants("winrm") {
        document.insert(
            "winrm".into(),
            Box::pin(winrm::measure(plan.rounds)).await.context("cannot measure winrm")?,
        );
    }
    if plan.wants("list") {
        document
            .insert("list".into(), Box::pin(list::measure(plan.pods)).await.context("cannot measure list")?);
    }
    if plan.wants("boot") {
        document
            .insert("boot".into(), Box::pin(boot::measure(plan.boots)).await.context("cannot measure boot")?);
    }
    if plan.wants("delegate") {
        let figures = Box::pin(delegate::measure(plan.rounds, plan.pods)).await;
        if let Some(figures) = figures.context("cannot measure delegate")? {
            document.insert("delegate".into(), figures);
        }
    }
    if plan.wants("critest") {
        interrupt::listen()?;
        let counts = Counts { containers: plan.boots, pods: plan.rounds, images: plan.rounds };
        let figures = tokio::task::block_in_place(|| critest::measure(counts));
        if let Some(figures) = figures.context("cannot measure critest")? {
            document.insert("critest".into(), figures);
        }
    }
    if let Some(folder) = plan.json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(&Value::Object(document))?;
    std::fs::write(&plan.json, text + "\n")
        .with_context(|| format!("cannot write {}", plan.json.display()))?;
    Ok(())
}
