//! A wine prefix, made once and kept by wine's version: it is 0.7 GB, and takes ten seconds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cache::{self, Key};
use crate::run;

/// The prefix.
pub(super) fn prefix() -> Result<PathBuf> {
    let version = run::output(Command::new("wine").arg("--version"))?;
    cache::keep("tools", "wine-prefix", Key::new().add(version), |folder| {
        let wine = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .env("WINEPREFIX", folder)
                .env("WINEDEBUG", "-all")
                // Neither asks for a download.
                .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
                .env_remove("DISPLAY");
            command
        };
        run::output(&mut wine("wine", &["wineboot", "--init"]))?;
        // Until it has ended, files of the prefix are still written.
        run::output(&mut wine("wineserver", &["--wait"]))?;
        Ok(())
    })
}
