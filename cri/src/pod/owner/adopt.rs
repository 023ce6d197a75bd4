//! A machine container that comes after processes of its pod: it takes over the machine that they run in.
//!
//! ```text
//!   Host record, running --CreateContainer--> Machine record of the same machine, Created --StartContainer--> Running
//! ```
//!
//! Init containers come first in every pod, so this is the usual way of a machine with init containers. The machine is
//! not touched; its record is replaced: the image is leased to the new container, its record is written, and then the
//! old record and lease go. A daemon that dies in between finds both records, and finishes.

use super::Owner;
use crate::error::Result;
use crate::pod::request::NewContainer;
use crate::pod::settings::Settings;
use crate::pod::view::is_live;
use crate::store::{ContainerPhase, ContainerRecord, Role};

impl Owner {
    /// The hidden machine of the pod's processes.
    pub(super) fn host(&self) -> Option<ContainerRecord> {
        self.each().find(|record| matches!(record.role, Role::Host)).cloned()
    }

    /// Whether a machine runs, or shall, whatever its container has come to.
    pub(super) fn machine_runs(&self, record: &ContainerRecord) -> bool {
        record.is_machine()
            && (is_live(record.phase) || self.live.as_ref().is_some_and(|live| live.container == record.id))
    }

    /// Makes the container that the pod's machine is from now on.
    pub(super) async fn adopt_machine(
        &mut self,
        new: NewContainer,
        id: String,
        host: ContainerRecord,
    ) -> Result<()> {
        self.has_image(&host, &new)?;
        let mut record = self.record(new, id, host.machine.clone(), Role::Machine);
        record.phase = ContainerPhase::Created;
        record.answered = host.answered;
        record.proven_identity.clone_from(&host.proven_identity);
        if !self.adopts() {
            self.context.images.lease(&record.image_id, &record.id).await?;
        }
        self.save(record.clone()).await?;
        if let Some(live) = self.live.as_mut().filter(|live| live.container == host.id) {
            live.container = record.id;
        }
        self.forget_host(&host).await
    }

    /// Finishes a taking over that the daemon's end interrupted.
    pub(in crate::pod) async fn finish_adoption(&mut self) -> Result<()> {
        let Some(host) = self.host() else { return Ok(()) };
        let adopted = |record: &ContainerRecord| {
            record.id != host.id && record.is_machine() && record.machine == host.machine
        };
        if self.each().any(adopted) { self.forget_host(&host).await } else { Ok(()) }
    }

    async fn forget_host(&mut self, host: &ContainerRecord) -> Result<()> {
        self.context.images.release(&host.image_id, &host.id).await?;
        self.context.store.delete_container(&host.id).await?;
        self.containers.remove(&host.id);
        self.publish();
        Ok(())
    }

    /// Starts a container whose machine runs already: its log begins. A guest that has answered, or is being given what its
    /// processes ask for, is given what this container asks for, its volumes among that, before the container runs.
    pub(super) async fn start_adopted(&mut self, record: ContainerRecord) -> Result<()> {
        let Some(sessions) = self.live.as_ref().map(|live| live.sessions.subscribe()) else { return Ok(()) };
        let answered = sessions.borrow().clone();
        let log = self.start_log(&record, sessions).await?;
        let Some(live) = &mut self.live else { return Ok(()) };
        live.log = log;
        live.start_wait = Some(self.context.start_wait());
        let session = answered.or_else(|| live.settings.as_ref().map(Settings::session));
        session.map_or(Ok(()), |session| self.begin_settings(&record, session, None))
    }
}
