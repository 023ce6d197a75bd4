//! Where things are in the source tree.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate's folder stands in the workspace")
}

/// The crate's own folder, where the recipes are.
pub(crate) fn xtask() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |path| root().join(path))
}

/// The daemon's program, as `cargo build` makes it.
pub(crate) fn daemon() -> PathBuf {
    program("infranetes")
}

/// A program of the workspace, as `cargo build` makes it.
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The program that cargo asked to be called by, else the one on the path. What `cargo run` tells of this crate is
/// taken out of its environment: build scripts look at it, and would build anew what a call by hand has built.
pub(crate) fn cargo() -> std::process::Command {
    let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}
