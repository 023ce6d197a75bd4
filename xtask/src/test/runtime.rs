//! The runtime that is tested: ours by every tier; containerd, by itself or behind ours, by the conformance program alone.

use anyhow::{Result, bail};

use super::tier::Tier;
use crate::setup;

/// A runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Runtime {
    /// Ours.
    #[default]
    Infranetes,
    /// The peer, to prove the harness.
    Containerd,
    /// Ours, with the peer as its delegate, beside the peer by itself.
    Delegate,
}

impl Runtime {
    /// The tiers to run, of those that were asked for; all that there are for it if none was.
    pub(super) fn tiers(self, asked: &[Tier]) -> Result<Vec<Tier>> {
        match self {
            Self::Infranetes if asked.is_empty() => Ok(Tier::all()),
            Self::Infranetes => Ok(asked.to_vec()),
            _ if asked.iter().all(|tier| *tier == Tier::Critest) => Ok(vec![Tier::Critest]),
            _ => bail!("containerd is tested by critest alone: name no other tier"),
        }
    }

    /// Its name, by which tests are told of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Infranetes => "infranetes",
            Self::Containerd => "containerd",
            Self::Delegate => "delegate",
        }
    }

    /// What tells its results from ours.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Infranetes => "",
            Self::Containerd => " on containerd",
            Self::Delegate => " on containerd behind us",
        }
    }

    /// Those that a tier is run on: by critest also on the peer behind ours, where there is one.
    pub(super) fn run_by(self, tier: Tier, has_peer: bool) -> Vec<Self> {
        match self {
            Self::Infranetes if tier == Tier::Critest && has_peer => vec![self, Self::Delegate],
            _ => vec![self],
        }
    }

    /// What it needs beyond what all tests need.
    pub(super) fn groups(self) -> Option<setup::Group> {
        (self != Self::Infranetes).then_some(setup::Group::Peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_is_tested_by_critest_alone() {
        assert_eq!(Runtime::Containerd.tiers(&[]).ok(), Some(vec![Tier::Critest]));
        assert!(Runtime::Containerd.tiers(&[Tier::Critest, Tier::E2e]).is_err());
        assert_eq!(Runtime::Delegate.tiers(&[]).ok(), Some(vec![Tier::Critest]));
        assert_eq!(Runtime::Infranetes.tiers(&[Tier::E2e]).ok(), Some(vec![Tier::E2e]));
    }

    #[test]
    fn critest_is_run_on_the_delegate_too() {
        let ours = Runtime::Infranetes;
        assert_eq!(ours.run_by(Tier::Critest, true), [ours, Runtime::Delegate]);
        assert_eq!(ours.run_by(Tier::Critest, false), [ours]);
        assert_eq!(ours.run_by(Tier::E2e, true), [ours]);
        assert_eq!(Runtime::Delegate.run_by(Tier::Critest, true), [Runtime::Delegate]);
    }
}
