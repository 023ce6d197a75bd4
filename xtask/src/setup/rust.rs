//! Components of Rust's toolchain that a minimal installation lacks.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{progress, run, tree};

/// What the lint tier calls, and the component that it comes with.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Installs the components that are not there.
pub(super) fn ensure() -> Result<()> {
    let there = |program: &str| {
        let mut command = tree::cargo();
        run::output(command.args([program, "--version"])).is_ok()
    };
    let missing: Vec<_> =
        COMPONENTS.iter().filter(|(program, _)| !there(program)).map(|(_, component)| *component).collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress::line(&format!(
        "missing of Rust's toolchain: {} (the lint tier calls them)",
        missing.join(", ")
    ));
    if run::output(Command::new("rustup").arg("--version")).is_err() {
        bail!(
            "install {} of this Rust's version: there is no rustup that could do it",
            missing.join(" and ")
        );
    }
    run::step(
        "rustup component add",
        Command::new("rustup").args(["component", "add"]).args(missing).current_dir(tree::root()),
    )
}
