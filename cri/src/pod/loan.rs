//! A machine that was there before, on loan to a container: taken before anything is put into it, and given back.
//!
//! ```text
//!   session --debt recorded--> take: the guest notes the holder --> in use --give_back: all of it is gone--> debt forgotten
//! ```
//!
//! - Happy path: [`Loan::take`] after each boot, [`Loan::give_back`] once. Both may be repeated.
//! - The guest is another node's, or another pod's of this node that holds it still: `take` refuses, and nothing was done.
//! - It cannot be given back whole: the debt stays, and is paid later ([`super::debts`]), or by whoever has the machine next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::lending::{self, Holder, Lent};
use machines::{Adopting, MachineId, Provider};
use tokio::time::timeout;
use transports::{Identity, Session};

use crate::error::{Error, Result};

/// How long a guest may take to be given back.
pub(super) const GIVING_BACK: Duration = Duration::from_secs(15);

/// A machine on loan.
#[derive(Clone)]
pub(super) struct Loan {
    provider: Arc<dyn Provider>,
    machine: MachineId,
    holder: Holder,
    family: Family,
}

impl Loan {
    /// That of an adoption; none where the provider makes its machines.
    pub(super) fn of(
        provider: &Arc<dyn Provider>,
        machine: &MachineId,
        family: Family,
    ) -> Result<Option<Self>> {
        let Some(adopting) = provider.adopting() else { return Ok(None) };
        let holder = Holder::new(format!("{} {machine}", adopting.node()))?;
        Ok(Some(Self { provider: Arc::clone(provider), machine: machine.clone(), holder, family }))
    }

    fn adopting(&self) -> &dyn Adopting {
        self.provider.adopting().expect("only such a provider has loans")
    }

    /// To whom the guest is lent.
    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Whether the machine may hold something of its holder.
    pub(super) fn is_owed(&self) -> bool {
        self.adopting().owes(&self.machine)
    }

    /// Has the guest be lent to its holder, after that was recorded.
    pub(super) async fn take(&self, session: &dyn Session) -> guests::Result<()> {
        let adopting = self.adopting();
        let keys = match session.identity() {
            Some(Identity::Pinned(keys)) => keys,
            _ => Vec::new(),
        };
        let owed = adopting.owe(&self.machine, keys).await;
        owed.map_err(|error| guests::Error::Ended(error.to_string()))?;
        let held = |other: &str| {
            let id = other.split(' ').nth(1).and_then(|id| MachineId::new(id).ok());
            id.is_some_and(|id| adopting.holds(&id))
        };
        lending::take(session, self.family, &self.holder, &held).await
    }

    /// Takes away whatever was put into the guest, or tells whose it is by now: either way nothing is owed any more.
    pub(super) async fn give_back(&self, session: &dyn Session) -> Result<Lent> {
        let given = timeout(GIVING_BACK, lending::give_back(session, self.family, &self.holder)).await;
        let lent = given.map_err(|_| {
            Error::TimedOut(format!(
                "the machine does not take back what is its own within {} s",
                GIVING_BACK.as_secs()
            ))
        })??;
        self.adopting().paid(&self.machine).await?;
        Ok(lent)
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&self.holder).finish()
    }
}
