//! `infranetes fleet`: the machines that run already and may become pods of this node.
//!
//! ```text
//!   configuration --> each provider of kind `fleet`: inventory, adoptions --> ls, check        ansible's inventory --> import
//! ```
//!
//! It reads the files that the daemon reads, so it also works while none runs; a daemon that runs tells which pod is meant by the
//! id of who holds a machine. `check` connects to the machines as a pod's daemon does, and changes nothing.

mod ansible;
mod check;
mod import;
mod ls;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use machines::MachineId;
use machines::fleet::{Adoption, Entry, Inventory, adoptions, owed};

use super::Global;
use crate::config::{Config, ProviderConfig};

/// What to do with machines that run already.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// List the machines of the inventories, and who has them.
    #[command(after_help = "Examples:
  infranetes fleet ls
  infranetes -o json fleet ls | jq -r '.[] | select(.heldBy == null).name'")]
    Ls(Where),
    /// Connect to machines: whether they answer, are those that are pinned, and let us in.
    #[command(after_help = "Examples:
  infranetes fleet check
  infranetes fleet check web-1")]
    Check(check::CheckArgs),
    /// Print an inventory of Ansible (INI or YAML) as one of ours.
    #[command(after_help = "Example:
  infranetes fleet import hosts.ini >/etc/infranetes/fleet.toml")]
    Import(import::ImportArgs),
}

/// Where the inventories are found.
#[derive(Debug, Args)]
pub struct Where {
    /// The daemon's configuration file, which names them.
    #[arg(long, value_name = "FILE", default_value = "/etc/infranetes/infranetes.toml")]
    config: PathBuf,
}

/// A machine of an inventory.
#[derive(Debug)]
struct Machine {
    provider: String,
    entry: Entry,
    /// Who has it.
    held: Option<(MachineId, Adoption)>,
    /// Whether it may hold something of a pod, and is to be given back.
    owed: bool,
}

pub(super) async fn run(global: &Global, command: FleetCommand) -> anyhow::Result<ExitCode> {
    match command {
        FleetCommand::Ls(place) => ls::run(global, &place).await,
        FleetCommand::Check(args) => check::run(global, &args).await,
        FleetCommand::Import(args) => import::run(&args),
    }
}

impl Where {
    /// The machines of all inventories, in their order.
    fn machines(&self) -> anyhow::Result<Vec<Machine>> {
        self.machines_of(&self.config()?)
    }

    fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }

    fn machines_of(&self, config: &Config) -> anyhow::Result<Vec<Machine>> {
        let mut machines = Vec::new();
        for (provider, section) in &config.providers {
            let ProviderConfig::Fleet(section) = section else { continue };
            let root = config.machines_dir().join(provider);
            let (adoptions, owed) = (adoptions(&root)?, owed(&root)?);
            machines.extend(Inventory::load(&section.inventory)?.entries.into_iter().map(|entry| {
                let holds = |(_, adoption): &&(MachineId, Adoption)| {
                    adoption.holds() && adoption.machine == entry.name
                };
                let (held, owed) = (adoptions.iter().find(holds).cloned(), owed.contains(&entry.name));
                Machine { provider: provider.clone(), held, owed, entry }
            }));
        }
        if machines.is_empty() {
            bail!(
                "no machine that runs already is configured; give {} a provider of kind \"fleet\" with an `inventory` \
                 (docs/fleet.md)",
                self.config.display()
            );
        }
        Ok(machines)
    }
}
