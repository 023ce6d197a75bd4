//! Machines that were released without being given back: somebody still has to take away what their pods have left in them.
//!
//! ```text
//!   provider: this is owed and in nobody's use --> a task for each: connect, give back --> paid
//!                                                    ^------ wait longer -----'   adopted anew: its holder does it
//! ```
//!
//! - Happy path: the daemon was killed, or the machine was silent for a while, and it is its owner's again within seconds.
//! - It stays silent, or lets nobody in: tried again, less and less often, also by the next daemon.
//! - Its entry has gone from the inventory: that is logged, and given up. So is a session with a machine that shows another key
//!   than it had, until it shows that again.
//! - Only the Secret of a pod leads into it: the pod has tried, and whoever adopts the machine next does it, or its next boot, if
//!   it lies in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use images::Facts;
use machines::fleet::Entry;
use machines::{MachineId, Owed, Provider};
use tokio_util::task::AbortOnDropHandle;
use transports::{Backoff, Identity, Sparing, Target, Transport as _};

use super::loan::Loan;
use super::protocol::Protocol;
use super::{Context, facts, login};
use crate::error::{Error, Result};

/// The first wait between two attempts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Gives back what is owed, for as long as this program runs.
pub fn pay_debts(context: &Arc<Context>) {
    for provider in context.providers.values() {
        if provider.adopting().is_some() {
            let payer = Payer { context: Arc::clone(context), provider: Arc::clone(provider) };
            tokio::spawn(payer.run());
        }
    }
}

#[derive(Clone)]
struct Payer {
    context: Arc<Context>,
    provider: Arc<dyn Provider>,
}

impl Payer {
    async fn run(self) {
        let Some(adopting) = self.provider.adopting() else { return };
        let mut owed = adopting.owed();
        let mut trying: BTreeMap<MachineId, AbortOnDropHandle<()>> = BTreeMap::new();
        loop {
            let due = owed.borrow_and_update().clone();
            trying.retain(|id, _| due.iter().any(|debt| debt.id == *id));
            for debt in due {
                let id = debt.id.clone();
                trying
                    .entry(id)
                    .or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(self.clone().insist(debt))));
            }
            if owed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Pays a debt, however long that takes.
    async fn insist(self, debt: Owed) {
        let Owed { id, name, .. } = &debt;
        let mut patience = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut told = String::new();
        loop {
            match self.pay(&debt).await {
                Ok(()) => return tracing::info!(machine = name, holder = %id, "it was given back late"),
                Err(error) => {
                    let why = error.chain();
                    if why != told {
                        tracing::warn!(machine = name, holder = %id, error = why, "it keeps something of its pod so far");
                        told = why;
                    }
                }
            }
            tokio::time::sleep(patience.next_wait()).await;
        }
    }

    async fn pay(&self, debt: &Owed) -> Result<()> {
        let Some(adopting) = self.provider.adopting() else { return Ok(()) };
        let inventory = adopting.inventory();
        let Some(entry) = inventory.entry(&debt.name) else {
            tracing::warn!(
                machine = debt.name,
                "it went from the inventory, and may keep something of its pod"
            );
            return Ok(adopting.paid(&debt.id).await?);
        };
        let facts = crate::fleet::ruled(entry, &self.context.config.image);
        let protocol = Protocol::of(&facts)?;
        let target = target(entry, debt, &facts, protocol)?;
        let session = Sparing::new(protocol.transport()).connect(&target).await?;
        let family = facts::family(&facts);
        let Some(loan) = Loan::of(&self.provider, &debt.id, family)? else { return Ok(()) };
        loan.give_back(session.as_ref()).await.map(drop)
    }
}

/// The way to the machine, as its entry has it now.
fn target(entry: &Entry, debt: &Owed, facts: &Facts, protocol: Protocol) -> Result<Target> {
    let name = &entry.name;
    let Some(credential) = &facts.credential else {
        let boot =
            if facts::family(facts).forgets_at_boot() { "or a reboot does" } else { "and no reboot does" };
        return Err(Error::Unavailable(format!(
            "only the Secret of a pod leads into machine {name:?}; whoever adopts it next takes that away, {boot}"
        )));
    };
    // Never one that has not proven itself, where it can.
    let identity = match protocol.pinned(facts, debt.address.ip())? {
        Some(pinned) => pinned,
        None if protocol.shows_itself() => Identity::Pinned(debt.keys.clone()),
        None if facts.trust_on_first_use == Some(true) => Identity::TrustOnFirstUse,
        None => {
            return Err(Error::Unavailable(format!(
                "nothing is known that machine {name:?} could prove itself by; {}",
                protocol.remedy()
            )));
        }
    };
    Ok(login::towards(facts, protocol, debt.address.ip(), vec![login::read(credential)?], identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_secret_takes_away_is_told_with_what_a_reboot_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        for (what, wanted) in [
            ("trust-on-first-use = true", "takes that away, or a reboot does"),
            ("trust-on-first-use = true\nos = \"windows\"", "takes that away, and no reboot does"),
        ] {
            let text = format!("[[machine]]\nname = \"web-1\"\naddress = \"192.0.2.1\"\n{what}\n");
            std::fs::write(&path, text).unwrap();
            let inventory = machines::fleet::Inventory::load(&path).unwrap();
            let entry = inventory.entry("web-1").unwrap();
            let facts = crate::fleet::ruled(entry, &[]);
            let debt = Owed {
                id: MachineId::new("one").unwrap(),
                name: entry.name.clone(),
                address: ([192, 0, 2, 1], 22).into(),
                keys: Vec::new(),
            };
            let why = target(entry, &debt, &facts, Protocol::of(&facts).unwrap()).unwrap_err().to_string();
            assert!(why.contains(wanted), "{why}");
        }
    }
}
