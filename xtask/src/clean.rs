//! `cargo xtask clean`: removes what was kept between runs.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{cache, guest, progress};

/// Removes the cache and the links to it. Removing what is absent succeeds.
pub(crate) fn command() -> Result<ExitCode> {
    for path in [cache::root()?, guest::folder()] {
        match std::fs::remove_dir_all(&path) {
            Ok(()) => progress::line(&format!("removed {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
        }
    }
    Ok(ExitCode::SUCCESS)
}
