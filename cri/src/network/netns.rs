//! The network namespace of a pod: made and removed by name; both may be repeated.

use std::path::{Path, PathBuf};

use super::command::tool;
use super::error::Result;

const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "infranetes-";

pub(super) fn name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn path(id: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name(id))
}

/// Makes a fresh namespace; what an interrupted call left is replaced.
pub(super) async fn make(id: &str) -> Result<()> {
    remove(id).await?;
    tool("ip", &["netns", "add", &name(id)], "").await.map(drop)
}

/// Removes a namespace; one that is absent is no error.
pub(super) async fn remove(id: &str) -> Result<()> {
    if !path(id).exists() {
        return Ok(());
    }
    match tool("ip", &["netns", "del", &name(id)], "").await {
        Err(error) if path(id).exists() => Err(error),
        _ => Ok(()),
    }
}
