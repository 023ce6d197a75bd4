//! `cargo-deny`, which checks licences, bans and sources. Built once by cargo and kept by its version.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{self, Key};
use crate::{run, tree};

const VERSION: &str = "0.20.2";

/// The program.
pub(super) fn ensure() -> Result<PathBuf> {
    let folder = cache::keep("tools", "cargo-deny", Key::new().add(VERSION), |folder| {
        // Built without optimisation: it runs for seconds, and is built for minutes.
        run::step(
            &format!("building cargo-deny {VERSION} (checks licences and sources of crates)"),
            tree::cargo()
                .args(["install", "cargo-deny", "--locked", "--debug", "--version", VERSION, "--root"])
                .arg(folder)
                .env("CARGO_TARGET_DIR", folder.join("build"))
                .env_remove("RUSTFLAGS"),
        )?;
        Ok(std::fs::remove_dir_all(folder.join("build"))?)
    })?;
    Ok(folder.join("bin/cargo-deny"))
}
