//! What a pod and its containers may use changes while they run.
//!
//! ```text
//!   asked --nothing changes--> done            not started yet: recorded, and its machine defined anew --> done
//!     `-- a task: the guest's control group | the machine's share --told--> recorded --> done
//! ```
//!
//! Happy path: a task does it, since a guest's word may take long; then the record says what is in force, and survives
//! the daemon as the limits themselves do.
//!
//! Failure paths: what the guest or the machine refuses leaves the record as it was. A daemon that dies in between has
//! the old values in its record, and whoever asked asks again: each step may be repeated. One update of a pod is carried
//! out at a time; the next one meanwhile is told to come again.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guests::process::Limits;
use machines::Share;
use tokio::time::timeout;

use super::{Owner, process_id};
use crate::error::{Error, Result};
use crate::pod::machine;
use crate::pod::process::{Told, Updated, What, guest_of};
use crate::pod::request::{Reply, Update};
use crate::store::{ContainerPhase, ContainerRecord, PodRecord, Resources};

/// How long a guest may take to limit a process.
const LIMITING: Duration = Duration::from_secs(30);

/// What remains to be done of an update, for whom, and what is recorded then.
struct Begun {
    container: String,
    updated: Updated,
    work: BoxFuture<'static, Result<()>>,
}

impl Owner {
    /// Changes what a container may use, for whoever asked.
    pub(super) async fn update_for(&mut self, id: &str, update: Update, reply: Reply) {
        let begun = self.begin_update(id, update).await;
        self.carry_out(begun, reply);
    }

    /// Changes what the pod may use, for whoever asked.
    pub(super) async fn update_pod_for(&mut self, update: Update, reply: Reply) {
        let begun = self.begin_pod_update(update).await;
        self.carry_out(begun, reply);
    }

    fn carry_out(&mut self, begun: Result<Option<Begun>>, reply: Reply) {
        match begun {
            Ok(Some(Begun { container, updated, work })) => {
                self.updating = true;
                let told = self.told.0.clone();
                tokio::spawn(async move {
                    let what = What::Updated(work.await, updated, reply);
                    let _ = told.send(Box::new(Told { container, what })).await;
                });
            }
            Ok(None) => drop(reply.send(Ok(()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Records what is in force now.
    pub(super) async fn updated(
        &mut self,
        container: &str,
        result: Result<()>,
        updated: Updated,
    ) -> Result<()> {
        self.updating = false;
        result?;
        match updated {
            Updated::Container(resources) => {
                let mut record = self.container(container)?;
                record.resources = resources;
                self.save(record).await
            }
            Updated::Pod(resources) => {
                self.pod.resources = resources;
                self.save_pod().await
            }
        }
    }

    async fn begin_update(&mut self, id: &str, update: Update) -> Result<Option<Begun>> {
        let mut record = self.container(id)?;
        let resources = update.over(record.resources);
        if resources == record.resources {
            return Ok(None);
        }
        self.is_free()?;
        record.resources = resources;
        match record.phase {
            ContainerPhase::Created if record.is_machine() && !self.machine_runs(&record) => {
                self.define_anew(&self.pod, &record).await?;
                self.save(record).await?;
                return Ok(None);
            }
            ContainerPhase::Created if !record.is_machine() => {
                self.spec(&record)?;
                self.save(record).await?;
                return Ok(None);
            }
            ContainerPhase::Created | ContainerPhase::Running | ContainerPhase::Stopping => {}
            ContainerPhase::Creating | ContainerPhase::Starting => {
                return Err(Error::Unavailable(format!(
                    "container {id} still starts; update it when it runs"
                )));
            }
            ContainerPhase::Exited | ContainerPhase::Removing => {
                return Err(Error::Conflict(format!(
                    "container {id} has ended; make it anew with the new resources"
                )));
            }
        }
        let work = if record.is_machine() {
            self.resize(&record, self.pod.resources)?
        } else {
            self.limit_process(&record)?
        };
        Ok(Some(Begun { container: record.id, updated: Updated::Container(resources), work }))
    }

    async fn begin_pod_update(&mut self, update: Update) -> Result<Option<Begun>> {
        let mut pod = self.pod.clone();
        let resources = update.over(pod.resources);
        if resources == pod.resources {
            return Ok(None);
        }
        self.is_free()?;
        self.attachment()?;
        pod.resources = resources;
        let machines = || self.each().filter(|record| record.is_machine());
        let running = machines().find(|record| self.machine_runs(record));
        let concerned = |record: &&ContainerRecord| {
            record.resources.or(resources) != record.resources.or(self.pod.resources)
        };
        if let Some(machine) = running.filter(concerned) {
            let work = self.resize(machine, resources)?;
            let container = machine.id.clone();
            return Ok(Some(Begun { container, updated: Updated::Pod(resources), work }));
        }
        let waits = |record: &&ContainerRecord| record.phase == ContainerPhase::Created;
        if let (None, Some(machine)) = (running, machines().find(waits).filter(concerned)) {
            self.define_anew(&pod, machine).await?;
        }
        self.pod = pod;
        self.save_pod().await?;
        Ok(None)
    }

    fn is_free(&self) -> Result<()> {
        if self.updating {
            return Err(Error::Unavailable(format!(
                "an earlier update of pod {} is still being carried out; try again",
                self.pod.id
            )));
        }
        Ok(())
    }

    /// Gives a machine that never ran another size.
    async fn define_anew(&self, pod: &PodRecord, record: &ContainerRecord) -> Result<()> {
        let spec = machine::spec(&self.context, pod, record, &self.attachment()?).await?;
        Ok(self.context.provider(&self.pod.provider)?.define(&spec).await?)
    }

    /// The work that gives a running machine its share.
    fn resize(&self, machine: &ContainerRecord, pod: Resources) -> Result<BoxFuture<'static, Result<()>>> {
        let Resources { milli_cpus, memory_bytes } = machine.resources.or(pod);
        let (provider, name) =
            (self.context.provider(&self.pod.provider)?.clone(), self.pod.provider.clone());
        let id = machine.machine.clone();
        let work = async move {
            let Some(resizing) = provider.resizing() else {
                return Err(Error::invalid(format!(
                    "the provider {name:?} cannot change a machine that runs; make its pod anew with the new size"
                )));
            };
            Ok(resizing.resize(&id, Share { milli_cpus, memory_bytes }).await?)
        };
        Ok(work.boxed())
    }

    /// The work that limits a running process. What the machine's size keeps already no guest has to keep.
    fn limit_process(&self, record: &ContainerRecord) -> Result<BoxFuture<'static, Result<()>>> {
        let session =
            self.live.as_ref().and_then(|live| Some((live.sessions.borrow().clone()?, live.guest.clone())));
        let Some((session, known)) = session.filter(|_| record.answered) else {
            return Err(Error::Unavailable(format!(
                "the guest of container {} does not answer now; update it later",
                record.id
            )));
        };
        let process = process_id(&record.id)?;
        let left_to_guest = self.spec(record)?.limits;
        let Resources { milli_cpus, memory_bytes } = record.resources;
        let limits = Limits { milli_cpus, memory_bytes, pids: None };
        let work = async move {
            let asked = async {
                let guest = guest_of(&known, session.as_ref()).await?;
                guest.limit(session.as_ref(), &process, &limits).await
            };
            match timeout(LIMITING, asked).await {
                Ok(Err(guests::Error::Unsupported(_))) if left_to_guest == Limits::default() => Ok(()),
                Ok(done) => Ok(done?),
                Err(_) => Err(Error::TimedOut(format!(
                    "the guest did not limit the process within {} s",
                    LIMITING.as_secs()
                ))),
            }
        };
        Ok(work.boxed())
    }
}
