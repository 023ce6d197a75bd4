//! The tiers, and the calls of `cargo test` that each one is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Environment;
use super::tally::Tally;
use crate::progress::{self, Step};
use crate::{run, tree};

/// A kind of tests, in order of what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
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
    /// The daemon before the conformance program of the CRI.
    Critest,
    /// The daemon under Kubernetes.
    Cluster,
}

impl Tier {
    /// Those that run if none is named.
    pub(super) fn all() -> Vec<Self> {
        vec![Self::Lint, Self::Unit, Self::Contract, Self::E2e, Self::Faults, Self::Critest, Self::Cluster]
    }

    /// Whether its tests boot machines.
    pub(super) fn needs_machines(self) -> bool {
        matches!(self, Self::Contract | Self::E2e | Self::Faults | Self::Critest | Self::Cluster)
    }

    /// Whether its tests run the daemon.
    pub(super) fn needs_daemon(self) -> bool {
        matches!(self, Self::E2e | Self::Faults | Self::Critest | Self::Cluster)
    }

    /// Runs the tier and counts its results.
    pub(super) fn run(
        self,
        environment: &Environment,
        filter: Option<&str>,
        tally: &mut Tally,
    ) -> Result<()> {
        let calls = self.calls()?;
        let runtimes = environment.runtimes(self);
        for (runtime, arguments) in
            runtimes.iter().flat_map(|runtime| calls.iter().map(move |it| (runtime, it)))
        {
            let mut command = tree::cargo();
            command
                .arg("test")
                .args(["--locked", "--workspace", "--all-features", "--no-fail-fast"])
                .args(arguments)
                .args(["--", "--show-output"])
                .args(filter);
            match self {
                // Its tests take turns with their machines themselves; the next cluster starts beside them.
                Self::Cluster => _ = command.arg("--test-threads=4"),
                // Most of them wait, for a guest or for time that passes.
                Self::Contract | Self::E2e => _ = command.arg("--test-threads=3"),
                // Emulated machines that boot at once starve each other.
                _ if self.needs_daemon() => _ = command.arg("--test-threads=1"),
                _ => {}
            }
            environment.apply(&mut command, *runtime);
            let title = format!("{self:?} tests{}", runtime.suffix());
            // It tells of all its specs once they are over.
            let silence = if self == Self::Critest { 3 * run::SILENCE } else { run::SILENCE };
            count(&title, &mut command, silence, tally)?;
        }
        Ok(())
    }

    /// The targets of each call of `cargo test`.
    fn calls(self) -> Result<Vec<Vec<String>>> {
        let call = |targets: &[&str]| targets.iter().map(|&target| target.to_owned()).collect::<Vec<_>>();
        let mut targets = match self {
            Self::Lint => return Ok(vec![]),
            Self::Unit => return Ok(vec![call(&["--lib", "--bins"]), call(&["--doc"])]),
            Self::Contract => {
                // The one below `tests` that is held against others' clients, not the daemon.
                let mut targets = programs(&tree::root().join("tests/winrm/tests"))?;
                for entry in std::fs::read_dir(tree::root())? {
                    let folder = entry?.path();
                    if folder.join("Cargo.toml").exists() && !folder.ends_with("tests") {
                        targets.extend(programs(&folder.join("tests"))?);
                    }
                }
                targets
            }
            Self::E2e | Self::Faults | Self::Critest | Self::Cluster => {
                programs(&tree::root().join("tests/tests"))?
            }
        };
        targets.retain(|target| match self {
            Self::Faults => target.starts_with("fault"),
            Self::Critest => target == "critest",
            Self::Cluster => target == "cluster",
            _ => !target.starts_with("fault") && target != "critest" && target != "cluster",
        });
        let arguments: Vec<_> =
            targets.into_iter().flat_map(|target| ["--test".to_owned(), target]).collect();
        Ok(if arguments.is_empty() { vec![] } else { vec![arguments] })
    }
}

/// The test programs of a folder: each file, and each folder with a `main.rs`.
fn programs(folder: &Path) -> Result<BTreeSet<String>> {
    let mut programs = BTreeSet::new();
    if !folder.exists() {
        return Ok(programs);
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let program =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        if let Some(name) = path.file_stem().filter(|_| program) {
            programs.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(programs)
}

/// Runs `cargo test`, shows what it writes as it comes, and counts. A test program that is silent for longer than this is ended.
fn count(title: &str, command: &mut Command, silence: Duration, tally: &mut Tally) -> Result<()> {
    let mut step = Step::begin(title);
    let mut reader = tally.begin(title);
    let status = run::lines(command, run::Silent::GoesOn(silence), |event| match event {
        run::Event::Line(line) => {
            if reader.read(line) {
                step.wipe();
                progress::line(line);
            }
        }
        run::Event::Quiet(begun) => step.tick(begun),
        run::Event::Ended(begun) => reader.ended(begun),
    })?;
    reader.end(status.success());
    step.end(if status.success() { "done" } else { "failed" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Tier;

    #[test]
    fn the_contract_tests_of_the_server_below_tests_are_the_contracts() {
        let calls = |tier: Tier| tier.calls().unwrap().concat();
        let has = |tier, program: &str| calls(tier).iter().any(|argument| argument == program);
        assert!(has(Tier::Contract, "winrm_clients") && has(Tier::Contract, "openssh"));
        assert!(!has(Tier::E2e, "winrm_clients") && !has(Tier::Contract, "e2e"));
    }
}
