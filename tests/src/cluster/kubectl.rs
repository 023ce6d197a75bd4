//! Talking to a cluster as people do: `kubectl`, in the node's network namespace, with the administrator's kubeconfig.
//!
//! Happy path: what it prints is answered. Failure paths: a call that fails has what it printed as the reason, one that takes too
//! long is ended, and so is one that runs when a person asks for the end.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::NamedTempFile;

use crate::interrupt;
use crate::namespace::Namespace;
use crate::process::{Process, pause};
use crate::talk::{Size, TAKE_TERMINAL, Talk};

/// How long a call may take that does not say so.
const CALL: Duration = Duration::from_secs(90);

/// `kubectl` for one cluster.
#[derive(Debug)]
pub struct Kubectl {
    script: PathBuf,
    config: PathBuf,
    dir: PathBuf,
}

impl Kubectl {
    /// Makes a program in `dir/bin` that people can call, too.
    pub(super) fn make(namespace: &Namespace, programs: &Path, config: &Path, dir: &Path) -> Result<Self> {
        let script = dir.join("bin/kubectl");
        std::fs::create_dir_all(dir.join("bin"))?;
        // Files are the machine's: only the network is the node's.
        let text = format!(
            "#!/bin/sh\nexport KUBECONFIG='{}' KUBECACHEDIR='{}'\nexec nsenter --net='{}' -- '{}' \"$@\"\n",
            config.display(),
            dir.join("kubectl-cache").display(),
            namespace.path().display(),
            programs.join("kubectl").display()
        );
        std::fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
        std::fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        Ok(Self { script, config: config.to_owned(), dir: dir.to_owned() })
    }

    /// The program, for people.
    pub fn program(&self) -> &Path {
        &self.script
    }

    /// Its kubeconfig.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs it, and answers what it has printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_within(CALL, arguments)
    }

    /// Runs it for at most this long.
    pub fn run_within(&self, patience: Duration, arguments: &[&str]) -> Result<String> {
        let shown = || format!("kubectl {}", arguments.join(" "));
        let printed = NamedTempFile::new_in(&self.dir)?;
        let errors = NamedTempFile::new_in(&self.dir)?;
        let mut command = Command::new(&self.script);
        command.args(arguments).stdout(printed.reopen()?).stderr(errors.reopen()?);
        let mut process = Process::spawn(command, "kubectl", errors.path())?;
        let status = process.wait_for_end(patience).with_context(shown)?;
        let printed = std::fs::read(printed.path())?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        if !status.success() {
            let told = process.printed() + &printed;
            bail!("{} failed ({status}): {}", shown(), told.trim());
        }
        Ok(printed)
    }

    /// Starts a call that goes on, with pipes.
    pub fn talk(&self, arguments: &[&str]) -> Talk {
        let mut command = Command::new(&self.script);
        command.args(arguments);
        Talk::by_pipes(command)
    }

    /// Starts a call that goes on, on a terminal of this size.
    pub fn on_terminal(&self, size: Size, arguments: &[&str]) -> Talk {
        let mut command = Command::new(TAKE_TERMINAL[0]);
        command.args(&TAKE_TERMINAL[1..]).arg(&self.script).args(arguments);
        Talk::on_terminal(size, command)
    }

    /// Runs it again and again until what it prints is as wanted, and answers that.
    pub fn until(
        &self,
        patience: Duration,
        arguments: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.run(arguments);
            if answer.as_ref().is_ok_and(|printed| wanted(printed)) {
                return answer;
            }
            interrupt::check()?;
            if Instant::now() > deadline {
                let shown = format!("kubectl {}: not what is wanted after {patience:?}", arguments.join(" "));
                return match answer {
                    Ok(printed) => Err(anyhow!("{shown}: {printed}")),
                    Err(error) => Err(error.context(shown)),
                };
            }
            pause();
        }
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let file = NamedTempFile::with_suffix_in(".yaml", &self.dir)?;
        std::fs::write(file.path(), manifest)?;
        self.run(&["apply", "-f", &file.path().to_string_lossy()])?;
        Ok(())
    }
}
