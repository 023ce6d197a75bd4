//! `infranetes fleet import`: an inventory of Ansible, printed as one of ours.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::super::output;
use super::ansible::{self, Format};

/// Options of `fleet import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The inventory of Ansible: YAML where its name ends in `.yml` or `.yaml`, else INI.
    file: PathBuf,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let path = args.file.display();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {path}"))?;
    let yaml = args.file.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
    let format = if yaml { Format::Yaml } else { Format::Ini };
    let hosts = ansible::hosts(&text, format).map_err(|why| anyhow::anyhow!("{path}:{why}"))?;
    if hosts.is_empty() {
        bail!("{path} names no host");
    }
    output::bytes(ansible::toml(&hosts).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
