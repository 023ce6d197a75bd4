//! A pod's machine that was there before: it is adopted instead of made, and given back instead of ended.
//!
//! ```text
//!   create: adopt (recorded) --start: pod IP forwarded, link to its own address--> lent, names laid over --> runs
//!   end: forwarding ends --> processes, volumes, names given back --> released      its pod's other calls are as on any machine
//! ```
//!
//! - Happy path: the guest's own state is what it was when the pod is gone. Only an entry that allows it is shut down.
//! - The session is lost: the machine may boot anew, so everything is given to it again when it answers; one that is silent for
//!   longer than its entry says is given up, as is one that shows another identity, at once.
//! - It does not answer when it is to be given back, or nobody has followed it since the daemon began: it is released all the same.
//!   What was left in it is taken away as soon as it answers ([`crate::pod::debts`]), by whoever of this node adopts it next, or
//!   goes with its next boot, if it lies in memory. Where only the pod's own Secret leads into it, one more session is tried for while that is there.
//! - It is another node's by the time: it is left alone, and not shut down.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use guests::lending::{self, Lent};
use machines::{Adopted, StopMode};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use transports::Session;

use super::Owner;
use crate::error::Result;
use crate::network::Attachment;
use crate::pod::facts;
use crate::pod::live::StopPlan;
use crate::pod::loan::{GIVING_BACK, Loan};
use crate::pod::protocol::Protocol;
use crate::pod::stop::GaveUp;
use crate::store::{ContainerRecord, PodPhase};

impl Owner {
    /// What was adopted as a container's machine; none where it was made.
    pub(super) fn adopted(&self, record: &ContainerRecord) -> Option<Adopted> {
        let provider = self.context.providers.get(&self.pod.provider)?;
        provider.adopting()?.adopted(&record.machine)
    }

    /// A container's machine as one that is only lent; none where it was made.
    pub(super) fn loan(&self, record: &ContainerRecord) -> Result<Option<Loan>> {
        if self.adopted(record).is_none() {
            return Ok(None);
        }
        let family = facts::family(&record.facts);
        Loan::of(self.context.provider(&self.pod.provider)?, &record.machine, family)
    }

    /// Where a container's guest is reached.
    pub(super) fn guest_address(&self, record: &ContainerRecord) -> Option<IpAddr> {
        let adopted = self.adopted(record).map(|adopted| adopted.address.ip());
        adopted.or_else(|| self.pod.attachment.as_ref().and_then(Attachment::address))
    }

    /// Has the pod's address be that of the machine which it has adopted.
    pub(super) async fn forward(&self, adopted: &Adopted) -> Result<()> {
        let Some(attachment) = &self.pod.attachment else { return Ok(()) };
        Ok(self.context.network.forward(attachment, adopted.address.ip()).await?)
    }

    /// Has the pod's address lead nowhere again.
    pub(super) async fn stop_forwarding(&self) -> Result<()> {
        let Some(attachment) = self.pod.attachment.as_ref().filter(|_| self.adopts()) else { return Ok(()) };
        match self.context.network.stop_forwarding(attachment).await {
            // The network is about to go, with all that leads anywhere from it.
            Err(error) if self.pod.phase != PodPhase::Ready => {
                tracing::warn!(pod = self.pod.id, %error, "its address leads to the machine until its network is gone");
                Ok(())
            }
            stopped => Ok(stopped?),
        }
    }

    /// Whether the pod's machines are adopted.
    pub(super) fn adopts(&self) -> bool {
        let provider = self.context.providers.get(&self.pod.provider);
        provider.is_some_and(|provider| provider.adopting().is_some())
    }

    /// Begins to stop a container whose machine was there before: it has its grace period, and time to be given back.
    pub(super) fn stop_lent(&mut self, record: &ContainerRecord, grace: Duration) -> Result<()> {
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        let first = live.stop.is_none();
        let plan = StopPlan::force_in(grace.max(GIVING_BACK));
        match &mut live.stop {
            Some(earlier) => earlier.force = earlier.force.min(plan.force),
            None => live.stop = Some(plan),
        }
        match live.link.as_ref().and_then(|link| link.session().ok()) {
            Some(session) if first => self.begin_release(record, session, grace),
            // It is told when it answers, or released without a word when its time is over.
            _ => Ok(()),
        }
    }

    /// Gives a machine back in a task that ends with its release, or has it shut itself down where that is allowed. One that was
    /// begun with an earlier session ends here.
    pub(super) fn begin_release(
        &mut self,
        record: &ContainerRecord,
        session: Arc<dyn Session>,
        grace: Duration,
    ) -> Result<()> {
        let (Some(adopted), Some(loan)) = (self.adopted(record), self.loan(record)?) else { return Ok(()) };
        let provider = self.context.provider(&self.pod.provider)?.clone();
        let (processes, machine, pod) = (self.processes_end(), record.machine.clone(), self.pod.id.clone());
        let family = facts::family(&record.facts);
        let (context, attachment) = (Arc::clone(&self.context), self.pod.attachment.clone());
        let Some(live) = &mut self.live else { return Ok(()) };
        // What is still being given would be there after it was taken away.
        live.settings = None;
        live.releasing = JoinSet::new();
        live.releasing.spawn(async move {
            // The kubelet stops all containers at once, and the processes are no less worth their time.
            let _ = timeout(grace / 4, processes).await;
            if let Some(attachment) = &attachment
                && let Err(error) = context.network.stop_forwarding(attachment).await
            {
                return tracing::error!(pod, %error, "the machine is released later");
            }
            if told(loan.give_back(session.as_ref()).await, &pod) && adopted.power_off {
                // It is released when its session is lost.
                match lending::shut_down(session.as_ref(), family).await {
                    Ok(()) => return,
                    Err(error) => tracing::info!(pod, %error, "the guest could not be asked to shut down"),
                }
            }
            if let Err(error) = provider.stop(&machine, StopMode::PowerButton).await {
                tracing::error!(pod, %error, "the machine is released later");
            }
        });
        Ok(())
    }

    /// Gives a machine back before it is released, as far as it answers now.
    pub(super) async fn give_back_now(&mut self, record: &ContainerRecord) {
        let Ok(Some(loan)) = self.loan(record) else { return };
        let session = match self.live.as_mut().filter(|live| live.container == record.id) {
            Some(live) => {
                live.releasing = JoinSet::new();
                live.settings = None;
                live.link.as_ref().and_then(|link| link.session().ok())
            }
            None => self.last_session(record, &loan).await,
        };
        match session {
            Some(session) => drop(told(loan.give_back(session.as_ref()).await, &self.pod.id)),
            None if loan.is_owed() => {
                tracing::warn!(pod = self.pod.id, "the machine does not answer now, and is given back later");
            }
            None => {}
        }
    }

    /// A session for what nobody but this pod can take away: its Secret is the only way in.
    async fn last_session(&self, record: &ContainerRecord, loan: &Loan) -> Option<Arc<dyn Session>> {
        if record.facts.credential.is_some() || !loan.is_owed() {
            return None;
        }
        let (link, _) = self.open_link(record).ok()??;
        link.ready(Instant::now() + GIVING_BACK).await.ok()
    }

    /// The session to a machine that was there before is lost: it may boot anew, be gone, or have been shut down as it was told.
    pub(super) async fn lent_is_silent(&mut self, record: &ContainerRecord) -> Result<()> {
        let Some(adopted) = self.adopted(record) else { return Ok(()) };
        let deadline = facts::boot_deadline(&record.facts, &self.pod.annotations, &self.context.config)?;
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.stop.is_some() {
            if adopted.power_off {
                self.stop_forwarding().await?;
                let provider = self.context.provider(&self.pod.provider)?;
                provider.stop(&record.machine, StopMode::PowerButton).await?;
            }
            return Ok(());
        }
        live.boot_deadline.get_or_insert(Instant::now() + deadline);
        Ok(())
    }

    /// Why a machine that was there before is given up: it does not answer any more.
    pub(super) fn gone(&self, record: &ContainerRecord, seen: &str) -> Option<GaveUp> {
        let Adopted { name, address, .. } = self.adopted(record)?;
        Some(GaveUp::Gone(format!(
            "machine {name:?} of the fleet ({address}) does not answer; last seen: {seen}; see whether it runs and lets this node in \
             (`infranetes fleet check {name}`)"
        )))
    }

    /// Why it is given up: it is another one.
    pub(super) fn changed(&self, record: &ContainerRecord, error: &transports::Error) -> Option<GaveUp> {
        let Adopted { name, .. } = self.adopted(record)?;
        Some(GaveUp::Changed(format!(
            "machine {name:?} of the fleet is not the one that its entry pins: {error}; if that is right, correct the entry's {} \
             in the inventory",
            pin(record)
        )))
    }
}

/// The fact that pins what a container's guest proves itself by.
pub(super) fn pin(record: &ContainerRecord) -> &'static str {
    Protocol::of(&record.facts).map_or("`host-keys`", Protocol::pin)
}

/// Tells what is not as it should be after a machine was given back. Whether it is free, and nobody else's.
fn told(given: Result<Lent>, pod: &str) -> bool {
    match given {
        Ok(Lent::Done) => return true,
        Ok(Lent::Another(other)) => tracing::warn!(pod, other, "the machine is lent to another holder"),
        Err(error) => {
            let error = error.chain();
            tracing::warn!(pod, error, "the machine keeps something of its pod so far");
        }
    }
    false
}
