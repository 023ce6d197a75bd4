//! The tiers, and the calls of `cargo test` that each one is.

use std::process::Command;

use anyhow::{Context, Result};

use super::Environment;
use super::tally::Tally;
use crate::progress::{self, Step};
use crate::{run, tree};

/// A kind of tests, in order of what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tier {
    /// Format, clippy, licences.
    Lint,
    /// Inside of the crates.
    Unit,
    /// Each crate on real parts.
    Contract,
    /// The daemon, end to end.
    E2e,
    /// The daemon under faults.
    Faults,
}

impl Tier {
    pub(super) fn all() -> Vec<Self> {
        vec![Self::Lint, Self::Unit, Self::Contract, Self::E2e, Self::Faults]
    }

    /// Whether its tests boot machines.
    pub(super) fn needs_guests(self) -> bool {
        matches!(self, Self::Contract | Self::E2e | Self::Faults)
    }

    /// Whether its tests run the daemon.
    pub(super) fn needs_daemon(self) -> bool {
        matches!(self, Self::E2e | Self::Faults)
    }

    /// Runs the tier and counts its results.
    pub(super) fn run(
        self,
        environment: &Environment,
        filter: Option<&str>,
        tally: &mut Tally,
    ) -> Result<()> {
        for arguments in self.calls()? {
            let mut command = tree::cargo();
            command
                .arg("test")
                .args(&arguments)
                .arg("--no-fail-fast")
                .args(["--", "--show-output"])
                .args(filter);
            environment.apply(&mut command);
            count(&format!("{self:?} tests"), &mut command, tally)?;
        }
        Ok(())
    }

    /// The arguments of each call of `cargo test`.
    fn calls(self) -> Result<Vec<Vec<String>>> {
        let call =
            |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
        Ok(match self {
            Self::Lint => vec![],
            Self::Unit => vec![
                call(&["--workspace", "--lib", "--bins"]),
                call(&["--workspace", "--exclude", "xtask", "--exclude", "tests", "--doc"]),
            ],
            Self::Contract => vec![call(&["--workspace", "--exclude", "tests", "--test", "*"])],
            Self::E2e | Self::Faults => {
                let mut arguments = call(&["--package", "tests"]);
                let before = arguments.len();
                for target in targets()? {
                    if target.starts_with("fault") == (self == Self::Faults) {
                        arguments.extend(["--test".to_owned(), target]);
                    }
                }
                if arguments.len() == before { vec![] } else { vec![arguments] }
            }
        })
    }
}

/// The end-to-end test programs: each file or folder of `tests/tests`.
fn targets() -> Result<Vec<String>> {
    let folder = tree::root().join("tests/tests");
    let mut targets = Vec::new();
    if !folder.exists() {
        return Ok(targets);
    }
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let program =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        if let Some(name) = path.file_stem().filter(|_| program) {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

/// Runs `cargo test`, shows what it writes as it comes, and counts.
fn count(title: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut step = Step::begin(title);
    let mut reader = tally.begin(title);
    let status = run::lines(command, |event| match event {
        Some(line) => {
            if reader.read(line) {
                step.wipe();
                progress::line(line);
            }
        }
        None => step.tick(),
    })?;
    reader.end(status.success());
    step.end(if status.success() { "done" } else { "failed" });
    Ok(())
}
