//! `critest`, the conformance program of the CRI, run by `ginkgo` on the runtime of a place.

mod benchmark;
mod conformance;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Result;
pub use benchmark::{Call, Counts};

use crate::place::Place;
use crate::process::Process;

/// The registries that the images' names say.
pub(crate) const REGISTRIES: [&str; 3] = ["registry.k8s.io", "k8s.gcr.io", "gcr.io"];
/// How long the program may take to end once its time is over.
const END: Duration = Duration::from_secs(120);
/// The word that only measurements have in their names.
const MEASUREMENTS: &str = "benchmark";

/// The programs.
#[derive(Debug)]
pub struct Critest {
    folder: PathBuf,
}

impl Critest {
    /// What `cargo xtask` has built; `None` where it could not.
    pub fn find() -> Option<Self> {
        Some(Self { folder: std::env::var_os("INFRANETES_CRITEST")?.into() })
    }

    /// The beginning of a command in the place.
    fn ginkgo(&self, place: &Place, patience: Duration) -> Command {
        // A segment of shared memory that a spec makes on the node, and leaves there, ends with it.
        let mut command = place.namespace().command("unshare");
        command.arg("--ipc").arg(self.folder.join("ginkgo")).arg("--no-color");
        command.arg(format!("--timeout={}s", patience.as_secs()));
        command
    }

    /// The rest of it: critest and its runtime. What critest writes is in the folder; further arguments are its own.
    fn critest(&self, command: &mut Command, place: &Place, folder: &Path) {
        let endpoint = format!("unix://{}", place.socket().display());
        command.arg(self.folder.join("critest.test")).arg("--");
        command.args([format!("-runtime-endpoint={endpoint}"), format!("-image-endpoint={endpoint}")]);
        command.current_dir(folder).env("TMPDIR", folder);
    }
}

/// Runs such a command to its end, and answers what it printed. An end before its time is the end of its workers too.
fn run(command: Command, folder: &Path, patience: Duration) -> Result<(ExitStatus, String)> {
    let mut ginkgo = Process::start(command, "ginkgo", &folder.join("output"))?;
    let ended = ginkgo.wait_for_end(patience + END).inspect_err(|_| ginkgo.kill_group());
    Ok((ended?, ginkgo.printed()))
}

/// `NAME=PATH` as one argument.
fn assigned(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(path);
    argument
}
