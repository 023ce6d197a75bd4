//! The lint tier: format, clippy, and what `deny.toml` says of the crates.

use std::path::PathBuf;

use anyhow::Result;

use super::tally::Tally;
use crate::{progress, run, setup, tree};

/// Runs each check and counts it.
pub(super) fn run(fetch_advisories: bool, tally: &mut Tally) -> Result<()> {
    let format = run::step("format", tree::cargo().args(["fmt", "--all", "--", "--check"]));
    tally.check("format", told(format));
    // As people build it, and with everything that they may ask for.
    for (name, what) in [
        ("clippy", &["--workspace", "--all-targets", "--all-features"][..]),
        ("clippy, by default", &["--package", "cri"]),
    ] {
        let mut clippy = tree::cargo();
        clippy.arg("clippy").args(what).args(["--locked", "--", "-D", "warnings"]);
        tally.check(name, told(run::step(name, &mut clippy)));
    }

    let deny = setup::deny()?;
    let check = |title: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(&deny);
        run::step(title, command.args(["--workspace", "--locked"]).args(arguments).current_dir(tree::root()))
    };
    let crates = check(
        "licences, bans and sources of crates",
        &["check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
    );
    tally.check("licences, bans and sources", told(crates));
    if fetch_advisories {
        check("fetching the database of advisories", &["fetch", "db"])?;
    } else if !database().is_some_and(|folder| folder.exists()) {
        progress::line(
            "advisories are not checked: their database is not on this machine (--fetch-advisories fetches it)",
        );
        return Ok(());
    }
    let advisories = check("advisories", &["check", "--disable-fetch", "advisories"]);
    tally.check("advisories", told(advisories));
    Ok(())
}

/// Where `deny.toml` says that the database is.
fn database() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    Some(home.join("advisory-dbs"))
}

/// Whether it passed; tells why not.
fn told(outcome: Result<()>) -> bool {
    outcome.inspect_err(|error| progress::line(&format!("{error:#}"))).is_ok()
}
