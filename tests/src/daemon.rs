//! The daemon as a child of the test.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;

use crate::namespace::Namespace;
use crate::process::Process;

/// How long a daemon may take from its start to its socket.
const START: Duration = Duration::from_secs(60);

/// A running `infranetes serve`.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    socket: PathBuf,
}

impl Daemon {
    /// Starts the daemon in the namespace and waits until it serves.
    pub fn start(
        namespace: &Namespace,
        binary: &Path,
        config: &Path,
        socket: &Path,
        log: &Path,
    ) -> Result<Self> {
        let mut daemon = Self::start_to_die(namespace, binary, config, socket, log, None)?;
        let socket = socket.to_owned();
        daemon.process.wait_for("socket", START, || UnixStream::connect(&socket).is_ok())?;
        Ok(daemon)
    }

    /// Starts the daemon with a step to die at (`INFRANETES_DIE_AT`), and does not wait for it to serve.
    pub fn start_to_die(
        namespace: &Namespace,
        binary: &Path,
        config: &Path,
        socket: &Path,
        log: &Path,
        die_at: Option<&str>,
    ) -> Result<Self> {
        let mut command = namespace.command(binary);
        command.arg("serve").arg("--config").arg(config);
        if std::env::var_os("INFRANETES_LOG").is_none() {
            command.env("INFRANETES_LOG", "info,cri=debug");
        }
        command.env_remove("INFRANETES_DIE_AT");
        if let Some(step) = die_at {
            command.env("INFRANETES_DIE_AT", step);
        }
        let process = Process::start(command, "infranetes", log)?;
        Ok(Self { process, socket: socket.to_owned() })
    }

    /// Waits until it serves or has ended; says whether it serves.
    pub fn serves(&mut self) -> bool {
        let socket = self.socket.clone();
        self.process.wait_for("socket", START, || UnixStream::connect(&socket).is_ok()).is_ok()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// What it has printed, together with the daemons before it that had the same log.
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// Ends it in good order.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.terminate(Duration::from_secs(20))
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for its own end.
    pub fn wait_for_end(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.process.wait_for_end(patience)
    }
}
