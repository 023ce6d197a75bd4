//! critest's specs.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Critest, MEASUREMENTS, assigned, run};
use crate::place::Place;
use crate::specs::{List, Report};

/// How many specs run beside each other: an emulated machine takes a processor for itself.
const BESIDE: &str = "2";
/// How long all specs may take together.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

impl Critest {
    /// Runs the specs, only those whose names contain the filter if there is one; those in the list are `left_out` or not.
    pub fn specs(&self, place: &Place, list: &List, filter: Option<&str>, left_out: bool) -> Result<Report> {
        let folder = place.dir().join("critest");
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = self.ginkgo(place, PATIENCE);
        command
            .args(["-v", "--silence-skips", "--keep-going", "--json-report=report.json"])
            .arg(format!("--procs={BESIDE}"));
        command.arg(assigned("--output-dir=", &folder));
        if let Some(filter) = filter {
            command.arg(format!("--focus={}", quoted(filter)));
        }
        if left_out {
            command.args(list.names().map(|name| format!("--skip={}$", quoted(name))));
        }
        self.critest(&mut command, place, &folder);
        // That a spec failed stands in the report; a run that came to nothing has none.
        let (_, printed) = run(command, &folder, PATIENCE)?;
        Report::read(&folder.join("report.json"), MEASUREMENTS)
            .with_context(|| format!("ginkgo printed:\n{printed}"))
    }
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
