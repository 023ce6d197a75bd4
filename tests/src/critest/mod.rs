//! `critest` run by `ginkgo`, on a node's daemon.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tests::specs::{List, Report};
use tests::{Node, Process};

/// How many specs run beside each other: an emulated machine takes a processor for itself.
const BESIDE: &str = "2";
/// How long all specs may take together.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long the program may take to end once that time is over.
const END: Duration = Duration::from_secs(120);
/// The word that only measurements have in their names.
const MEASUREMENTS: &str = "benchmark";

/// The programs.
pub(crate) struct Critest {
    folder: PathBuf,
}

impl Critest {
    /// What `cargo xtask test` has built; `None` where it could not.
    pub(crate) fn find() -> Option<Self> {
        Some(Self { folder: std::env::var_os("INFRANETES_CRITEST")?.into() })
    }

    /// Runs the specs that are not in the list; those whose names contain the filter if there is one, and then also those in
    /// the list.
    pub(crate) fn run(&self, node: &Node, list: &List, filter: Option<&str>) -> Result<Report> {
        let folder = node.dir().join("critest");
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // A segment of shared memory that a spec makes on the node, and leaves there, ends with it.
        let mut command = node.namespace().command("unshare");
        command.arg("--ipc").arg(self.folder.join("ginkgo"));
        command.args(["-v", "--no-color", "--silence-skips", "--keep-going", "--json-report=report.json"]);
        command.arg(format!("--procs={BESIDE}")).arg(format!("--timeout={}s", PATIENCE.as_secs()));
        command.arg(assigned("--output-dir=", &folder));
        match filter {
            Some(filter) => {
                command.arg(format!("--focus={}", quoted(filter)));
            }
            None => {
                command.args(list.names().map(|name| format!("--skip={}$", quoted(name))));
            }
        }
        let endpoint = format!("unix://{}", node.socket().display());
        command.arg(self.folder.join("critest.test")).arg("--");
        command.args([format!("-runtime-endpoint={endpoint}"), format!("-image-endpoint={endpoint}")]);
        command.current_dir(&folder).env("TMPDIR", &folder);
        let mut ginkgo = Process::start(command, "ginkgo", &folder.join("output"))?;
        // That a spec failed stands in the report; a run that came to nothing has none.
        ginkgo.wait_for_end(PATIENCE + END)?;
        Report::read(&folder.join("report.json"), MEASUREMENTS)
            .with_context(|| format!("ginkgo printed:\n{}", ginkgo.printed()))
    }
}

/// `NAME=PATH` as one argument.
fn assigned(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(path);
    argument
}

/// The text as a regular expression of Go that means just it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
