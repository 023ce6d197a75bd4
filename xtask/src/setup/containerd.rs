//! The containerd of the distribution, which is older than the one that is built. It is taken out of its package and kept by
//! the package's version: installed, it could be in the way of another one that the machine has.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::run;

/// The package, and where its programs are in it.
const PACKAGE: &str = "containerd";
const PROGRAMS: &str = "usr/bin";

/// The folder with its programs; `None` where the distribution has none.
pub(super) fn of_distribution() -> Result<Option<PathBuf>> {
    let policy = run::output(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", PACKAGE]))?;
    let version = policy.lines().find_map(|line| line.trim_start().strip_prefix("Candidate: "));
    let Some(version) = version.filter(|version| *version != "(none)") else { return Ok(None) };
    let folder = cache::keep("tools", "distribution-containerd", Key::new().add(version), |folder| {
        let mut download = Command::new("apt-get");
        download.args(["-q", "download", &format!("{PACKAGE}={version}")]).current_dir(folder);
        run::step("fetching the distribution's containerd", &mut download)?;
        let files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let package = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
        let package = package.with_context(|| format!("apt-get left no package in {}", folder.display()))?;
        run::output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
        std::fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))
    })?;
    Ok(Some(folder.join(PROGRAMS)))
}
