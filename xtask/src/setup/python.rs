//! Clients of `WinRM` that people use, in a Python environment of their own, which is built once and kept by its requirements.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::{run, tree};

/// Debian's own, which is the one that `python3-venv` belongs to.
const PYTHON: &str = "/usr/bin/python3";

/// The interpreter that has them.
pub(super) fn winrm_clients() -> Result<PathBuf> {
    let list = tree::root().join("tests/winrm/requirements.txt");
    let requirements =
        std::fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let version = run::output(Command::new(PYTHON).arg("--version"))?;
    let key = Key::new().add(&requirements).add(version);
    let folder = cache::keep("tools", "winrm-clients", key, |folder| {
        run::step("a Python environment", Command::new(PYTHON).args(["-m", "venv"]).arg(folder))?;
        let mut install = Command::new(folder.join("bin/python"));
        install.args(["-m", "pip", "--disable-pip-version-check", "install", "--requirement"]).arg(&list);
        run::step(
            "installing pypsrp and pywinrm (clients that the tests of WinRM are proved by)",
            &mut install,
        )
    })?;
    Ok(folder.join("bin/python"))
}
