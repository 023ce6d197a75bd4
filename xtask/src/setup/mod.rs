//! What the commands need of the machine, installed where it is missing.
//!
//! Happy path: everything is there, and nothing is said or done. Else each missing package is named with its reason,
//! then installed by apt; tools that no package has are built and kept in the cache. Failure paths: not being root, or a
//! machine without apt, ends in an error that lists what to install by hand.

mod ahead;
mod apt;
mod containerd;
mod deny;
mod go;
mod python;
mod rust;
mod user;
mod wine;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::progress;

/// A reason to need something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    /// Building the workspace.
    Build,
    /// Building guest images.
    Guest,
    /// Running machines: the daemon, the demo, the node.
    Run,
    /// Running the tests.
    Test,
    /// The programs in Go that tests and measurements run, where Go is.
    Go,
    /// Running containerd as the peer in tests and measurements; only if it is named.
    Peer,
}

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For what; for everything but the peer if nothing is named.
    #[arg(value_enum)]
    groups: Vec<Group>,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let all = [Group::Build, Group::Guest, Group::Run, Group::Test, Group::Go];
    let groups = if arguments.groups.is_empty() { &all[..] } else { &arguments.groups };
    packages(groups)?;
    if groups.contains(&Group::Test) {
        deny()?;
        winrm_clients()?;
        wine_prefix()?;
    }
    if groups.contains(&Group::Go) && !go::all()? {
        progress::line(go::ABSENT);
    }
    if groups.contains(&Group::Peer) && distributions_containerd()?.is_none() {
        progress::line("the distribution has no containerd: the tests with it are left out");
    }
    progress::line("everything needed is installed");
    Ok(ExitCode::SUCCESS)
}

/// Makes sure of the packages (and of the user that machines run as) for these groups.
pub(crate) fn packages(groups: &[Group]) -> Result<()> {
    apt::install(groups)?;
    if groups.contains(&Group::Run) || groups.contains(&Group::Test) {
        user::ensure()?;
    }
    if groups.contains(&Group::Test) {
        rust::ensure()?;
    }
    Ok(())
}

/// The program `cargo-deny`, built once.
pub(crate) fn deny() -> Result<PathBuf> {
    deny::ensure()
}

/// The Python that has pypsrp and pywinrm, made once.
pub(crate) fn winrm_clients() -> Result<PathBuf> {
    python::winrm_clients()
}

/// A wine prefix, whose `cmd` stands for Windows' own, made once.
pub(crate) fn wine_prefix() -> Result<PathBuf> {
    wine::prefix()
}

/// Begins to build the programs in Go beside whatever else is done; ends with this value.
pub(crate) fn ahead() -> Result<crate::run::Running> {
    ahead::begin()
}

/// The program `crictl`, built once; `None` where there is no Go that could build it.
pub(crate) fn crictl() -> Result<Option<PathBuf>> {
    go::crictl()
}

/// The folder with the program `critest.test` and its runner `ginkgo`, built once; `None` where there is no Go.
pub(crate) fn critest() -> Result<Option<PathBuf>> {
    go::critest()
}

/// The folder with the program `containerd` and its shim, built once; `None` where there is no Go.
pub(crate) fn containerd() -> Result<Option<PathBuf>> {
    go::containerd()
}

/// The folder with the programs of the distribution's own containerd, fetched once; `None` where it has none.
pub(crate) fn distributions_containerd() -> Result<Option<PathBuf>> {
    containerd::of_distribution()
}

/// The folder with the programs of a cluster, from etcd to kubectl, built once; `None` where there is no Go.
pub(crate) fn kubernetes() -> Result<Option<PathBuf>> {
    go::kubernetes()
}

/// The Go that is new enough to build our tools, if there is one.
pub(crate) fn go() -> Option<PathBuf> {
    go::find()
}
