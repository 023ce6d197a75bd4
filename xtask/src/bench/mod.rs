//! `cargo xtask bench`: what Infranetes costs, beside what people would use instead.
//!
//! ```text
//!   packages, guest, registry, release build -> the program `bench` of the crate `tests` -> JSON -> table
//! ```
//!
//! Happy path: the figures are in the JSON file and in the table. A ratio that misses its goal is marked, and is no
//! failure: it says as much of the machine as of the program. Failure paths: what cannot be built or measured ends the
//! command with the reason.

mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::critest::Critest;
use crate::{guest, progress, registry, run, setup, tree};

/// The guest that is booted.
const GUEST: &str = "mini";

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(after_help = "Parts:
  exec       commands on a warm session, beside OpenSSH's ControlMaster, on one server on loopback
  processes  the start of a process in a guest, beside a command, on one server on loopback
  streams    bytes of a command and of a port, beside ssh and ssh -L, on one server on loopback
  volumes    a changed volume of 1 MiB, beside an upload by sftp, to one server on loopback
  swaps      when changes of a volume are in the guest of a real machine under load
  winrm      commands and bytes over WinRM, beside pypsrp, to the server that stands for Windows
  list       the CRI's calls at many pods, and what the daemon costs then, without machines and network
  boot       RunPodSandbox to the first answer, beside a bare QEMU and a loop of ssh
  delegate   calls to containerd behind Infranetes, beside calls to containerd itself; where Go is
  critest    the benchmark of Kubernetes' conformance program, beside containerd; where Go is

Examples:
  cargo xtask bench
  cargo xtask bench --only exec --rounds 50
  cargo xtask bench --json before.json")]
pub(crate) struct Arguments {
    /// Where the figures go; target/bench.json if not given.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Measure only this part.
    #[arg(long, value_parser = ["exec", "processes", "streams", "volumes", "swaps", "winrm", "list", "boot", "delegate", "critest"])]
    only: Option<String>,
    /// Boots of each kind; containers of critest.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    boots: u16,
    /// Turns of commands of each kind; pods and pulls of critest.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Pods to list; of containers at most 200.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pods: u16,
    /// Changes of a volume under load.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    swaps: u16,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    use setup::Group;
    setup::packages(&[Group::Build, Group::Guest, Group::Run, Group::Test])?;
    let registry = registry::store(&[GUEST])?;
    guest::build(GUEST)?;
    let with_peer = |only: &str| matches!(only, "critest" | "delegate");
    let critest = if arguments.only.as_deref().is_none_or(with_peer) { critest()? } else { None };
    // The same packages in both calls, so that the second finds all that the first has built.
    let packages = ["--package", "cri", "--package", "tests", "--package", "winrm-peer"];
    let mut build = tree::cargo();
    build.args(["build", "--release"]).args(packages).args(["--bins", "--bench", "bench"]);
    run::step("building for release", &mut build)?;

    let json = arguments.json.clone().unwrap_or_else(|| tree::target().join("bench.json"));
    let json = std::path::absolute(&json).with_context(|| format!("cannot use {}", json.display()))?;
    let mut bench = tree::cargo();
    bench.arg("bench").args(packages).args(["--bench", "bench", "--", "--json"]).arg(&json);
    let counts = [
        ("--boots", arguments.boots),
        ("--rounds", arguments.rounds),
        ("--pods", arguments.pods),
        ("--swaps", arguments.swaps),
    ];
    for (name, count) in counts {
        bench.args([name, &count.to_string()]);
    }
    if let Some(only) = &arguments.only {
        bench.args(["--only", only]);
    }
    bench
        // What the daemon writes by default: the tests have it write each call.
        .env("INFRANETES_LOG", "info")
        .env("INFRANETES_GUESTS", guest::folder())
        .env("INFRANETES_BIN", tree::target().join("release/infranetes"))
        .env("INFRANETES_WINRM_PEER", tree::target().join("release/winrm-peer"))
        .env("INFRANETES_REGISTRY", registry);
    if arguments.only.as_deref().is_none_or(|only| only == "winrm") {
        bench.env("INFRANETES_WINRM_CLIENTS", setup::winrm_clients()?);
    }
    if let Some(critest) = &critest {
        critest.apply(&mut bench);
    }
    run::step("measuring", &mut bench)?;

    let text = std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
    let figures = serde_json::from_str(&text).with_context(|| format!("cannot read {}", json.display()))?;
    for line in table::lines(&figures) {
        progress::line(&line);
    }
    progress::line(&format!("figures: {}", json.display()));
    Ok(ExitCode::SUCCESS)
}

/// What critest needs, with its peer; `None`, and a line that says so, where there is no Go to build it.
fn critest() -> Result<Option<Critest>> {
    if setup::go().is_none() {
        progress::line("critest is left out: there is no Go to build it and containerd");
        return Ok(None);
    }
    setup::packages(&[setup::Group::Peer])?;
    Critest::build(true, true)
}
