//! Running a recipe: `guests/NAME.sh` after the parts that its header names (`# parts: say disk …`).
//!
//! The recipe runs in an empty working folder, with `NAME` and `OUT` (where the results go) set. What it writes is its
//! progress.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::{run, tree};

/// The folder with the built image, from the cache if the recipe and the distribution's release are the same.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    let script = script(name)?;
    let key = Key::new().add(&script).add(release()?).add(std::env::consts::ARCH);
    cache::keep("guests", name, key, |folder| make(name, &script, folder))
}

fn make(name: &str, script: &str, folder: &Path) -> Result<()> {
    let work = folder.join("work");
    let out = folder.join("out");
    for path in [&work, &out] {
        std::fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    run::step(
        &format!("building guest {name}"),
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script, name])
            .current_dir(&work)
            .env("NAME", name)
            .env("OUT", &out),
    )?;
    std::fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    for entry in std::fs::read_dir(&out)? {
        let entry = entry?;
        std::fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    std::fs::remove_dir(&out).with_context(|| format!("cannot remove {}", out.display()))
}

/// The recipe with its parts before it.
fn script(name: &str) -> Result<String> {
    let recipe = read(name)?;
    let parts = recipe.lines().find_map(|line| line.strip_prefix("# parts: ")).unwrap_or_default();
    let mut script = String::new();
    for part in parts.split_whitespace() {
        script.push_str(&read(part)?);
        script.push('\n');
    }
    script.push_str(&recipe);
    Ok(script)
}

fn read(name: &str) -> Result<String> {
    let path = tree::xtask().join("guests").join(format!("{name}.sh"));
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The host's distribution and release: its packages are what an image is made of.
fn release() -> Result<String> {
    let text = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let lines = text.lines().filter(|line| line.starts_with("ID=") || line.starts_with("VERSION_CODENAME="));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
