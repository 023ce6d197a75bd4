//! What a pod asks of its guest as a whole, given to it after each boot, before anything else is done in it.
//!
//! ```text
//!   link is ready -> another boot: names are as asked, sysctls are set, volumes are there -> the guest has answered
//!                 -> the same boot ----------------------------------------------------------^
//! ```
//!
//! Happy path: one command more for each, in a task of its own, and processes find the values. A guest that lost its connection
//! is asked which boot it is, for nobody may have seen it boot anew: the daemon did not run, or its kernel was replaced by
//! another. Failure paths: a session that is lost meanwhile is tried again, and dropped with its link; a guest that is slow is
//! asked again, for as long as it takes if it has answered before. A guest that refuses a sysctl, or does not come to an end,
//! ends its machine with the reason, for a pod that asks for one must not run without it; so does one that cannot hold a
//! volume. A guest whose names cannot be set knows its own, the servers and the search domains by DHCP or its seed: that is
//! logged, and it runs. So does one that takes too long for it. A guest that is somebody's already is lent first, and refuses
//! whom it is not lent to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::lending;
use guests::names::{Names, Resolver};
use guests::sysctl;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use transports::{Backoff, Session};

use super::loan::Loan;
use crate::store::{Dns, PodRecord};
use crate::volume::Volumes;

/// How long what a pod cannot be without may take altogether.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long each of the rest may take.
const FURTHER_PATIENCE: Duration = Duration::from_secs(40);
/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What is asked of a guest.
#[derive(Debug)]
pub(super) struct Asked {
    pod: String,
    names: Names,
    sysctls: BTreeMap<String, String>,
    volumes: Volumes,
    /// Those that it can be without.
    further: Volumes,
    /// How long what it cannot be without may take; without a limit, its probes say when it is of no use any more.
    limit: Option<Duration>,
    family: Family,
    /// The loan, where the guest is somebody's already.
    lent: Option<Loan>,
}

impl Asked {
    /// What a pod asks for, and the container that the machine is. A guest that has answered before is not lost for being slow.
    pub(super) fn of(
        pod: &PodRecord,
        family: Family,
        volumes: Volumes,
        answered: bool,
        lent: Option<Loan>,
    ) -> Self {
        let attachment = pod.attachment.as_ref().filter(|_| pod.dns != Dns::default());
        let resolver = attachment.and_then(|attachment| {
            let guest = super::guest_identity(pod);
            let (servers, search) = attachment.resolution(&guest);
            // Without a server the file would be worth less than the guest's own.
            (!servers.is_empty()).then(|| Resolver {
                servers: servers.to_vec(),
                search: search.to_vec(),
                options: pod.dns.options.clone(),
            })
        });
        let names = Names { hostname: pod.hostname.clone(), resolver };
        let (volumes, further) = volumes.by_need();
        Self {
            pod: pod.id.clone(),
            names,
            sysctls: pod.sysctls.clone(),
            volumes,
            further,
            limit: (!answered).then_some(PATIENCE),
            family,
            lent,
        }
    }

    /// Gives it all, but to a guest that was given it in this boot. Answers which boot it is, where it tells.
    async fn give_once(
        &self,
        session: &dyn Session,
        given: Option<String>,
    ) -> guests::Result<Option<String>> {
        let boot = match insist(self.limit, || guests::boot::id(session, self.family)).await {
            Err(error) if !error.retryable() => {
                tracing::debug!(pod = self.pod, %error, "the guest does not tell which boot it is");
                None
            }
            told => told?,
        };
        if boot.is_none() || boot != given {
            self.give(session).await?;
        }
        Ok(boot)
    }

    /// Gives it all. Only what the pod cannot be without is an error.
    async fn give(&self, session: &dyn Session) -> guests::Result<()> {
        if self.lent.is_some() {
            insist(self.limit, || self.give_part(session, Part::Lending)).await?;
        }
        let further = Some(FURTHER_PATIENCE);
        if let Err(error) = insist(further, || self.give_part(session, Part::Names)).await {
            tracing::warn!(pod = self.pod, %error, "the guest's names may be those of its image");
        }
        insist(self.limit, || self.give_part(session, Part::Needed)).await?;
        // After them, for what a pod asks for may lie over the directories of these.
        if let Err(error) = insist(further, || self.give_part(session, Part::Further)).await {
            tracing::warn!(pod = self.pod, %error, "the guest lacks what every pod is given");
        }
        Ok(())
    }

    async fn give_part(&self, session: &dyn Session, part: Part) -> guests::Result<()> {
        match part {
            Part::Lending => match &self.lent {
                Some(loan) => loan.take(session).await,
                None => Ok(()),
            },
            Part::Names => match &self.lent {
                Some(loan) => {
                    lending::set_names(session, self.family, loan.holder(), &self.names).await.map(drop)
                }
                None => self.names.set(session, self.family).await,
            },
            Part::Further => self.further.give(session).await,
            Part::Needed => {
                if !self.sysctls.is_empty() {
                    sysctl::set(session, self.family, &self.sysctls).await?;
                }
                self.volumes.give(session).await
            }
        }
    }
}

/// Tries again what may yet succeed, until that takes too long; for ever where there is no limit.
async fn insist<T, F: Future<Output = guests::Result<T>>>(
    limit: Option<Duration>,
    mut attempt: impl FnMut() -> F,
) -> guests::Result<T> {
    let tries = async {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match attempt().await {
                Err(error) if error.retryable() => sleep(backoff.next_wait()).await,
                outcome => return outcome,
            }
        }
    };
    let Some(limit) = limit else { return tries.await };
    timeout(limit, tries).await.unwrap_or_else(|_| Err(transports::Error::TimedOut(limit).into()))
}

/// What is given with a time of its own.
#[derive(Debug, Clone, Copy)]
enum Part {
    Lending,
    Names,
    Further,
    Needed,
}

/// Settings that a guest is being given. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Settings {
    session: Arc<dyn Session>,
    task: JoinHandle<guests::Result<Option<String>>>,
}

impl Settings {
    /// Begins to give them, but to the boot that was given them already.
    pub(super) fn begin(session: Arc<dyn Session>, asked: Asked, given: Option<String>) -> Self {
        let to = session.clone();
        let task = tokio::spawn(async move { asked.give_once(to.as_ref(), given).await });
        Self { session, task }
    }

    /// To whom.
    pub(super) fn session(&self) -> Arc<dyn Session> {
        self.session.clone()
    }

    /// Waits until it is known how that ended, and which boot has them. Cancellation loses nothing.
    pub(super) async fn done(&mut self) -> (Arc<dyn Session>, guests::Result<Option<String>>) {
        let outcome = (&mut self.task).await.unwrap_or_else(|error| {
            Err(guests::Error::Ended(format!(
                "giving the guest what its pod asks for was broken off: {error}"
            )))
        });
        (self.session.clone(), outcome)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.task.abort();
    }
}
