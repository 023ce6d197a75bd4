//! `cargo xtask test`: every check there is, one closing summary line.
//!
//! ```text
//!   lint -> unit -> contract -> e2e -> faults -> N passed, N failed, N skipped
//! ```
//!
//! Happy path: what the chosen tiers need is installed and built first, then each tier runs and its results are counted. A
//! failure does not end the run. Failure paths: the exit code tells of a failed test, and of a skipped one whose reason
//! does not hold on this machine (see [`excuse`]).
//!
//! Tests find what was built for them in their environment: `INFRANETES_GUESTS` is a folder with `NAME/NAME.qcow2` and what
//! belongs to it, `INFRANETES_BIN` the daemon's program, `INFRANETES_CRICTL` the program `crictl` where there is one.

mod excuse;
mod lint;
mod tally;
mod tier;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{guest, progress, run, setup, tree};
use tally::Tally;
use tier::Tier;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
#[command(after_help = "Tiers:
  lint      format, clippy without a warning, licences, bans and sources of crates
  unit      the tests inside of the crates
  contract  each crate on real parts: SSH servers, QEMU, a registry
  e2e       the daemon, end to end, on real machines
  faults    the daemon killed, the network cut, the guest hung

Examples:
  cargo xtask test                        everything, as CI runs it
  cargo xtask test --tier unit            one tier
  cargo xtask test --tier contract quot   the contract tests whose names contain `quot`")]
pub(crate) struct Arguments {
    /// Run only this tier; may be given several times.
    #[arg(long = "tier", value_enum)]
    tiers: Vec<Tier>,
    /// Run only tests whose names contain this.
    filter: Option<String>,
    /// Run as CI does: every tier, whole.
    #[arg(long, conflicts_with_all = ["tiers", "filter"])]
    ci: bool,
    /// Fetch the database of security advisories, to check the crates against it.
    #[arg(long)]
    fetch_advisories: bool,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let tiers = if arguments.tiers.is_empty() { Tier::all() } else { arguments.tiers.clone() };
    let mut groups = vec![setup::Group::Build, setup::Group::Test];
    let on_machines = tiers.iter().any(|tier| tier.needs_guests());
    if on_machines {
        groups.extend([setup::Group::Guest, setup::Group::Run]);
    }
    setup::packages(&groups)?;
    let mut tally = Tally::default();
    if tiers.contains(&Tier::Lint) && arguments.filter.is_none() {
        lint::run(arguments.fetch_advisories, &mut tally)?;
    }
    let mut environment = Environment::default();
    if on_machines {
        environment.crictl = setup::crictl()?;
        for name in guest::NAMES {
            guest::build(name)?;
        }
    }
    if tiers.iter().any(|tier| tier.needs_daemon()) {
        run::step("building the daemon", tree::cargo().args(["build", "--package", "cri", "--bins"]))?;
    }
    for tier in tiers {
        tier.run(&environment, arguments.filter.as_deref(), &mut tally)?;
    }
    tally.report(&mut |line| progress::line(line));
    Ok(if tally.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What tests find in their environment.
#[derive(Default)]
struct Environment {
    crictl: Option<PathBuf>,
}

impl Environment {
    fn apply(&self, command: &mut std::process::Command) {
        command.env("INFRANETES_GUESTS", guest::folder()).env("INFRANETES_BIN", tree::daemon());
        if let Some(crictl) = &self.crictl {
            command.env("INFRANETES_CRICTL", crictl);
        }
    }
}
