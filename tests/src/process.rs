//! A process that we started and that ends with us.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt;

/// A child with its output in a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a command; what it prints is appended to `log`.
    pub fn start(mut command: Command, name: &str, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        Self::spawn(command, name, log)
    }

    /// Starts a command whose output is on its way somewhere; what of it tells why it failed is in `log`.
    pub(crate) fn spawn(mut command: Command, name: &str, log: &Path) -> Result<Self> {
        // A group of its own: a Ctrl-C on the terminal is for whoever started it.
        command.process_group(0).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` says yes, as long as the process runs and the time is not over.
    pub fn wait_for(
        &mut self,
        what: &str,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !ready() {
            interrupt::check()?;
            if !self.runs() {
                bail!("{} ended before {what}; it printed:\n{}", self.name, self.printed());
            }
            if Instant::now() > deadline {
                bail!("{}: no {what} after {patience:?}; it printed:\n{}", self.name, self.printed());
            }
            pause();
        }
        Ok(())
    }

    /// Ends it in good order and waits for that.
    pub fn terminate(&mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.runs() {
            if Instant::now() > deadline {
                bail!(
                    "{} did not end within {patience:?} of SIGTERM; it printed:\n{}",
                    self.name,
                    self.printed()
                );
            }
            pause();
        }
        Ok(())
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as `kill -9` does, and whatever it has started in its process group.
    pub(crate) fn kill_group(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.kill();
    }

    /// Waits for its own end.
    pub fn wait_for_end(&mut self, patience: Duration) -> Result<std::process::ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            interrupt::check()?;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {patience:?}; it printed:\n{}", self.name, self.printed());
            }
            pause();
        }
    }

    /// Stops all of its threads, and waits until they stand still.
    pub(crate) fn suspend(&mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.id());
        let stands = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before it may have any characters, also brackets.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        self.wait_for("standstill", patience, || {
            std::fs::read_dir(&threads).is_ok_and(|mut all| all.all(|thread| thread.is_ok_and(stands)))
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A short pause between two looks at something that tells nobody when it changes.
#[expect(clippy::disallowed_methods, reason = "another program's state has no event to wait for")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
