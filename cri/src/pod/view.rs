//! What everyone may see of a pod: a snapshot that its owner publishes after each change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guests::process::Guest;
use machines::Console;
use tokio::sync::watch;
use tokio::time::Instant;
use transports::{Link, Session};

use super::facts;
use super::process::{Known, guest_of};
use crate::store::{ContainerPhase, ContainerRecord, PodRecord};

/// A pod at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Its record.
    pub pod: PodRecord,
    /// Its containers by id, but for one that is still being made, and the machine of a pod of processes, for which
    /// nobody asked.
    pub containers: BTreeMap<String, Arc<ContainerView>>,
}

/// A container at one moment.
#[derive(Debug, Clone)]
pub struct ContainerView {
    /// Its record.
    pub record: Arc<ContainerRecord>,
    /// The way to its guest, while its machine runs.
    pub link: Option<Link>,
    /// The session of the moment, once the guest has what its pod asks for.
    pub sessions: Option<watch::Receiver<Option<Arc<dyn Session>>>>,
    /// Whether its guest has answered once.
    pub answered: bool,
    /// Its guest, as far as it is known, for the processes in it.
    pub guest: Option<Known>,
    /// When the guest must have answered first.
    pub boot_deadline: Option<Instant>,
    /// Until when a guest that has reset itself may be silent.
    pub rebooting_until: Option<Instant>,
    /// The serial console.
    pub console: Option<Console>,
}

impl ContainerView {
    /// Whether its machine, or its process, is meant to run.
    pub fn is_live(&self) -> bool {
        is_live(self.record.phase)
    }

    /// Whether what is run in it finds it there: the process that it is, if it is one, was started in the guest.
    pub fn is_begun(&self) -> bool {
        self.record.is_machine() || self.record.answered
    }

    /// Whether the guest has reset itself and may still be silent.
    pub fn is_rebooting(&self) -> bool {
        self.rebooting_until.is_some_and(|until| Instant::now() < until)
    }

    /// The family of its guest.
    pub fn family(&self) -> guests::Family {
        facts::family(&self.record.facts)
    }

    /// The guest, by how processes are run in it.
    pub async fn guest(&self, session: &dyn Session) -> guests::Result<Arc<dyn Guest>> {
        match &self.guest {
            Some(known) => guest_of(known, session).await,
            None => guests::process::detect(session, self.family()).await,
        }
    }

    /// How long the guest may still take to its first answer.
    pub fn boot_time_left(&self) -> Duration {
        self.boot_deadline
            .map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Whether a container in this phase has a machine or a process that is meant to run.
pub(super) fn is_live(phase: ContainerPhase) -> bool {
    matches!(phase, ContainerPhase::Starting | ContainerPhase::Running | ContainerPhase::Stopping)
}
