//! What a pod asks of its guest as a whole, given to it after each boot, before anything else is done in it.
//!
//! ```text
//!   link is ready -> names are resolved as asked, sysctls are set (a task of its own) -> the guest has answered
//! ```
//!
//! Happy path: one command more for each, and processes find the values. Failure paths: a session that is lost meanwhile is
//! tried again, and dropped with its link. A guest that refuses a sysctl, or does not come to an end, ends its machine with the
//! reason, for a pod that asks for one must not run without it. A guest whose resolver cannot be written knows the servers and
//! the search domains by DHCP or its seed: that is logged, and it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guests::resolver::Resolver;
use guests::sysctl;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use transports::{Backoff, Session};

use crate::store::{Dns, PodRecord};

/// How long it may take altogether.
const PATIENCE: Duration = Duration::from_secs(90);
/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What is asked of a guest.
#[derive(Debug)]
pub(super) struct Asked {
    pod: String,
    resolver: Option<Resolver>,
    sysctls: BTreeMap<String, String>,
}

impl Asked {
    /// What a pod asks for; none where that is nothing.
    pub(super) fn of(pod: &PodRecord) -> Option<Self> {
        let attachment = pod.attachment.as_ref().filter(|_| pod.dns != Dns::default());
        let resolver = attachment.map(|attachment| {
            let guest = super::guest_identity(pod);
            let (servers, search) = attachment.resolution(&guest);
            Resolver { servers: servers.to_vec(), search: search.to_vec(), options: pod.dns.options.clone() }
        });
        let sysctls = pod.sysctls.clone();
        let nothing = resolver.is_none() && sysctls.is_empty();
        (!nothing).then(|| Self { pod: pod.id.clone(), resolver, sysctls })
    }

    async fn give(&self, session: &dyn Session) -> guests::Result<()> {
        if let Some(resolver) = &self.resolver
            && let Err(error) = resolver.set(session).await
        {
            if error.retryable() {
                return Err(error);
            }
            tracing::warn!(pod = self.pod, %error, "the guest resolves names as its image does");
        }
        if self.sysctls.is_empty() { Ok(()) } else { sysctl::set(session, &self.sysctls).await }
    }
}

/// Settings that a guest is being given. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Settings {
    session: Arc<dyn Session>,
    task: JoinHandle<guests::Result<()>>,
}

impl Settings {
    /// Begins to give them.
    pub(super) fn begin(session: Arc<dyn Session>, asked: Asked) -> Self {
        let to = session.clone();
        let task = tokio::spawn(async move {
            timeout(PATIENCE, give(to.as_ref(), &asked))
                .await
                .unwrap_or_else(|_| Err(transports::Error::TimedOut(PATIENCE).into()))
        });
        Self { session, task }
    }

    /// Waits until it is known how that ended. Cancellation loses nothing.
    pub(super) async fn done(&mut self) -> (Arc<dyn Session>, guests::Result<()>) {
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

async fn give(session: &dyn Session, asked: &Asked) -> guests::Result<()> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match asked.give(session).await {
            Err(error) if error.retryable() => sleep(backoff.next_wait()).await,
            outcome => return outcome,
        }
    }
}
