//! The unprivileged system user that machines run as.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{progress, run};

/// Its name.
const USER: &str = "infranetes-qemu";

/// Makes the user, if there is none.
pub(super) fn ensure() -> Result<()> {
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    if users.lines().any(|line| line.split(':').next() == Some(USER)) {
        return Ok(());
    }
    progress::line(&format!("making the system user {USER}: machines run as it, not as root"));
    run::output(
        Command::new("useradd")
            .args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"])
            .args(["--shell", "/usr/sbin/nologin", USER]),
    )?;
    let groups = std::fs::read_to_string("/etc/group").context("cannot read /etc/group")?;
    if groups.lines().any(|line| line.starts_with("kvm:")) {
        run::output(Command::new("usermod").args(["--append", "--groups", "kvm", USER]))?;
    }
    Ok(())
}
