//! `cargo xtask test`: every check there is, one closing summary line.
//!
//! ```text
//!   lint -> unit -> contract -> e2e -> faults -> critest -> cluster -> N passed, N failed, N skipped
//! ```
//!
//! Happy path: what the chosen tiers need is installed, and built before the first that needs it, programs in Go beside the
//! tiers before; then each tier runs and its results are counted. A failure does not end the run. Failure paths: the exit code tells of a failed test, and of a skipped one whose reason
//! does not hold on this machine (see [`excuse`]).
//!
//! Tests find what was built for them in their environment: `INFRANETES_GUESTS` is a folder with `NAME/NAME.qcow2` and what
//! belongs to it, `INFRANETES_BIN` the daemon's program, `INFRANETES_WINRM_PEER` that of the server which stands for Windows
//! machines, `INFRANETES_REGISTRY` the folder of a registry that has the guests,
//! `INFRANETES_CRICTL` the program `crictl` where there is one; `INFRANETES_CRITEST` the folder with critest where there is
//! one, `INFRANETES_CRITEST_REGISTRY` the registry with what it pulls; `INFRANETES_CONTAINERD` and
//! `INFRANETES_CONTAINERD_REGISTRY` the same for containerd where it is the peer or the delegate,
//! `INFRANETES_CONTAINERD_OLD` the folder with the distribution's; `INFRANETES_CRITEST_RUNTIME` on what critest is to be run;
//! `INFRANETES_KUBERNETES` the folder with Kubernetes' programs where there are any; `INFRANETES_WINRM_CLIENTS` the Python
//! that has pypsrp and pywinrm, `INFRANETES_WINE_PREFIX` a prefix of wine.

mod excuse;
mod lint;
mod runtime;
mod tally;
mod tier;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tests::interrupt;

use crate::critest::Critest;
use crate::{guest, progress, registry, run, setup, tree};
use runtime::Runtime;
use tally::Tally;
use tier::Tier;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
#[command(after_help = "Tiers:
  lint      format, clippy without a warning, licences, bans and sources of crates
  unit      the tests inside of the crates
  contract  each crate on real parts: SSH servers, WinRM clients, QEMU, a registry
  e2e       the daemon, end to end, on real machines
  faults    the daemon killed, the network cut, the guest hung
  critest   the conformance program of the CRI; what is left out stands in tests/tests/critest/left-out.toml;
            then on containerd, and on containerd behind Infranetes: each spec ends alike
  cluster   a Kubernetes of one node, from kubectl to the guest

Examples:
  cargo xtask test                        everything, as CI runs it
  cargo xtask test --tier unit            one tier
  cargo xtask test --tier contract quot   the contract tests whose names contain `quot`
  cargo xtask test --runtime containerd   critest's same specs on containerd, which proves the harness
  cargo xtask test --runtime delegate     the second part of critest alone")]
pub(crate) struct Arguments {
    /// Run only this tier; may be given several times.
    #[arg(long = "tier", value_enum)]
    tiers: Vec<Tier>,
    /// Run only tests whose names contain this.
    filter: Option<String>,
    /// Test this runtime; for containerd, by itself or as the delegate, there is the tier critest alone.
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,
    /// Run as CI does: every tier, whole.
    #[arg(long, conflicts_with_all = ["tiers", "filter", "runtime"])]
    ci: bool,
    /// Fetch the database of security advisories, to check the crates against it.
    #[arg(long)]
    fetch_advisories: bool,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let mut tiers = arguments.runtime.tiers(&arguments.tiers)?;
    tiers.sort();
    let mut groups = vec![setup::Group::Build, setup::Group::Test];
    groups.extend(arguments.runtime.groups());
    if tiers.iter().any(|tier| tier.needs_machines()) {
        groups.extend([setup::Group::Guest, setup::Group::Run]);
    }
    setup::packages(&groups)?;
    let mut tally = Tally::default();
    let mut environment = Environment { runtime: arguments.runtime, ..Environment::default() };
    let mut ahead = None;
    for (at, &tier) in tiers.iter().enumerate() {
        interrupt::check()?;
        if tier == Tier::Lint {
            if arguments.filter.is_none() {
                lint::run(arguments.fetch_advisories, &mut tally)?;
            }
            continue;
        }
        environment.prepare(tier)?;
        // Tests wait most of the time, which is enough to build in what later ones need.
        if ahead.is_none() && tiers[at + 1..].iter().any(|later| later.needs_daemon()) {
            ahead = Some(setup::ahead()?);
        }
        tier.run(&environment, arguments.filter.as_deref(), &mut tally)?;
    }
    tally.report(&mut |line| progress::line(line));
    Ok(if tally.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What tests find in their environment. Made when the first tier needs it: what fails cheaply fails first.
#[derive(Default)]
struct Environment {
    runtime: Runtime,
    built: bool,
    registry: Option<PathBuf>,
    crictl: Option<PathBuf>,
    critest: Option<Critest>,
    delegates: Option<Delegates>,
    kubernetes: Option<PathBuf>,
    winrm: Option<Winrm>,
}

/// The containerds that can stand behind the daemon, and a registry for them.
struct Delegates {
    newest: Option<PathBuf>,
    distributions: Option<PathBuf>,
    registry: PathBuf,
}

/// What the tests of `WinRM` need: clients, and a `cmd`.
struct Winrm {
    clients: PathBuf,
    wine_prefix: PathBuf,
}

impl Environment {
    /// Makes what the tier needs.
    fn prepare(&mut self, tier: Tier) -> Result<()> {
        if !self.built {
            // All of it at once: calls for single packages would build what they share with other features again.
            run::step(
                "building everything",
                tree::cargo().args(["build", "--locked", "--workspace", "--all-targets", "--all-features"]),
            )?;
            self.built = true;
        }
        if tier.needs_machines() && tier != Tier::Critest && self.registry.is_none() {
            self.registry = Some(registry::store(&guest::NAMES)?);
        }
        if matches!(tier, Tier::Contract | Tier::E2e) && self.winrm.is_none() {
            self.winrm = Some(Winrm { clients: setup::winrm_clients()?, wine_prefix: setup::wine_prefix()? });
        }
        if tier == Tier::Cluster && self.kubernetes.is_none() {
            self.kubernetes = setup::kubernetes()?;
        }
        if matches!(tier, Tier::E2e | Tier::Faults) && self.crictl.is_none() {
            self.crictl = setup::crictl()?;
        }
        if matches!(tier, Tier::E2e | Tier::Cluster) && self.delegates.is_none() {
            self.delegates = Some(Delegates {
                newest: setup::containerd()?,
                distributions: setup::distributions_containerd()?,
                registry: registry::store(&[guest::CONTAINERS])?,
            });
        }
        if tier == Tier::Critest && self.critest.is_none() {
            self.critest = Critest::build(self.runtime == Runtime::Infranetes, true)?;
        }
        Ok(())
    }

    /// The runtimes that the tier is run on.
    fn runtimes(&self, tier: Tier) -> Vec<Runtime> {
        self.runtime.run_by(tier, self.critest.as_ref().is_some_and(Critest::has_peer))
    }

    fn apply(&self, command: &mut std::process::Command, runtime: Runtime) {
        command.env("INFRANETES_GUESTS", guest::folder()).env("INFRANETES_BIN", tree::daemon());
        command.env("INFRANETES_WINRM_PEER", tree::program("winrm-peer"));
        if let Some(registry) = &self.registry {
            command.env("INFRANETES_REGISTRY", registry);
        }
        if let Some(crictl) = &self.crictl {
            command.env("INFRANETES_CRICTL", crictl);
        }
        if let Some(critest) = &self.critest {
            critest.apply(command);
            command.env("INFRANETES_CRITEST_RUNTIME", runtime.name());
        }
        if let Some(delegates) = &self.delegates {
            command.env("INFRANETES_CONTAINERD_REGISTRY", &delegates.registry);
            let programs = [
                ("INFRANETES_CONTAINERD", &delegates.newest),
                ("INFRANETES_CONTAINERD_OLD", &delegates.distributions),
            ];
            for (name, folder) in
                programs.into_iter().filter_map(|(name, folder)| Some((name, folder.as_ref()?)))
            {
                command.env(name, folder);
            }
        }
        if let Some(kubernetes) = &self.kubernetes {
            command.env("INFRANETES_KUBERNETES", kubernetes);
        }
        if let Some(winrm) = &self.winrm {
            command
                .env("INFRANETES_WINRM_CLIENTS", &winrm.clients)
                .env("INFRANETES_WINE_PREFIX", &winrm.wine_prefix);
        }
    }
}
