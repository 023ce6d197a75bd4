//! What critest needs: its programs, and for each runtime that it runs on a registry with what it pulls.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{guest, registry, setup};

/// All of it, built.
pub(crate) struct Critest {
    programs: PathBuf,
    /// The registry for ours.
    ours: Option<PathBuf>,
    /// The programs of containerd, and the registry for it.
    peer: Option<(PathBuf, PathBuf)>,
}

impl Critest {
    /// Builds it for ours, for containerd as the peer, or for both; `None` where there is no Go to do so.
    pub(crate) fn build(ours: bool, peer: bool) -> Result<Option<Self>> {
        let Some(programs) = setup::critest()? else { return Ok(None) };
        let ours = if ours { Some(registry::store(&[guest::CRITEST])?) } else { None };
        let peer = match peer.then(setup::containerd).transpose()?.flatten() {
            Some(containerd) => Some((containerd, registry::store(&[guest::CONTAINERS])?)),
            None => None,
        };
        Ok(Some(Self { programs, ours, peer }))
    }

    /// Whether containerd is among it.
    pub(crate) fn has_peer(&self) -> bool {
        self.peer.is_some()
    }

    /// Tells a command of the crate `tests` where it is.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.env("INFRANETES_CRITEST", &self.programs);
        if let Some(registry) = &self.ours {
            command.env("INFRANETES_CRITEST_REGISTRY", registry);
        }
        if let Some((containerd, registry)) = &self.peer {
            command.env("INFRANETES_CONTAINERD", containerd).env("INFRANETES_CONTAINERD_REGISTRY", registry);
        }
    }
}
