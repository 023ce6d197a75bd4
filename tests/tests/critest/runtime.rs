//! The runtime that critest is run on: ours, or the peer.

use std::path::PathBuf;

use anyhow::Result;
use tests::{Containerd, Node, Options, Place};

/// A runtime that serves. Dropping it ends and removes all of it.
pub(crate) enum Runtime {
    Infranetes(Node),
    Containerd(Containerd),
}

impl Runtime {
    /// Starts the peer where `cargo xtask test` asks for it, else ours.
    pub(crate) fn start() -> Result<Self> {
        match Containerd::for_critest()? {
            Some(containerd) => Ok(Self::Containerd(containerd)),
            None => Ok(Self::Infranetes(Node::start(Options::for_critest()?)?)),
        }
    }

    /// Whether it is the peer.
    pub(crate) fn is_peer(&self) -> bool {
        matches!(self, Self::Containerd(_))
    }

    /// Where it runs.
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Infranetes(node) => node.place(),
            Self::Containerd(containerd) => containerd.place(),
        }
    }

    /// Its own log.
    pub(crate) fn log(&self) -> PathBuf {
        match self {
            Self::Infranetes(node) => node.log(),
            Self::Containerd(containerd) => containerd.log(),
        }
    }

    /// What pods have left.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        match self {
            Self::Infranetes(node) => Ok(node.inventory()?.0.into_iter().collect()),
            Self::Containerd(containerd) => Ok(containerd.left()),
        }
    }
}
