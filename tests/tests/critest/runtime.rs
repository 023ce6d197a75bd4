//! The runtime that critest is run on: ours, the peer, or the peer behind ours.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tests::{Containerd, Node, Options, Place};

/// A runtime that serves. Dropping it ends and removes all of it.
pub(crate) enum Runtime {
    Infranetes(Node),
    Containerd(Containerd),
    /// The node whose delegate it is.
    Delegate(Node),
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Infranetes,
    Containerd,
    Delegate,
}

impl Kind {
    /// What `cargo xtask test` asks for.
    pub(crate) fn asked() -> Self {
        match std::env::var("INFRANETES_CRITEST_RUNTIME").as_deref() {
            Ok("containerd") => Self::Containerd,
            Ok("delegate") => Self::Delegate,
            _ => Self::Infranetes,
        }
    }
}

impl Runtime {
    /// Starts one.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let none = "there is no containerd, for there was no Go to build it";
        match kind {
            Kind::Infranetes => Ok(Self::Infranetes(Node::start(Options::for_critest()?)?)),
            Kind::Containerd => Ok(Self::Containerd(Containerd::for_critest()?.context(none)?)),
            Kind::Delegate => Ok(Self::Delegate(Node::start(Options::behind_ours()?.context(none)?)?)),
        }
    }

    /// Whether it is the peer.
    pub(crate) fn is_peer(&self) -> bool {
        matches!(self, Self::Containerd(_))
    }

    /// Where it runs.
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Infranetes(node) | Self::Delegate(node) => node.place(),
            Self::Containerd(containerd) => containerd.place(),
        }
    }

    /// Its own log.
    pub(crate) fn log(&self) -> PathBuf {
        match self {
            Self::Infranetes(node) | Self::Delegate(node) => node.log(),
            Self::Containerd(containerd) => containerd.log(),
        }
    }

    /// What pods have left.
    pub(crate) fn left(&mut self) -> Result<Vec<String>> {
        match self {
            Self::Infranetes(node) => Ok(node.inventory()?.0.into_iter().collect()),
            Self::Containerd(containerd) => Ok(containerd.left()),
            Self::Delegate(node) => {
                let left = node.delegate().left();
                Ok(node.inventory()?.0.into_iter().chain(left).collect())
            }
        }
    }
}
