//! A container comes and goes: its record, its lease of the image, its machine. Each step is recorded, then done, and
//! may be done again.

use std::io::ErrorKind;

use machines::MachineId;

use super::Owner;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::pod::request::NewContainer;
use crate::pod::secret::SecretLogin;
use crate::pod::{facts, login, machine, now};
use crate::store::{ContainerPhase, ContainerRecord, Role};

impl Owner {
    /// Makes a container, or finds the one that the same request has made already.
    pub(super) async fn create_container(&mut self, mut new: NewContainer) -> Result<String> {
        self.attachment()?;
        let id = machine::container_id(&self.pod.id, &new.name, new.attempt);
        self.make_room(&new, &id).await?;
        if self.containers.contains_key(&id) {
            return Ok(id);
        }
        match (new.process.take(), self.host()) {
            (Some(process), _) => self.create_process(new, process, id.clone()).await?,
            (None, _) if self.is_spent() => return Err(self.spent()),
            (None, Some(host)) => self.adopt_machine(new, id.clone(), host).await?,
            (None, None) => {
                let machine = machine::machine_id(&id)?;
                self.create_machine(self.record(new, id.clone(), machine, Role::Machine)).await?;
            }
        }
        Ok(id)
    }

    /// Makes a machine. What cannot be made is undone before that is told.
    pub(super) async fn create_machine(&mut self, record: ContainerRecord) -> Result<()> {
        let attachment = self.attachment()?;
        facts::log(&record.facts, &self.pod.annotations)?;
        facts::boot_deadline(&record.facts, &self.pod.annotations, &self.context.config)?;
        facts::reboot_grace(&self.pod.annotations)?;
        self.context.machine_to_adopt(&self.pod, &record)?;
        if let Some(address) = attachment.address().filter(|_| self.guests_answer()) {
            let kubelet = &self.context.config.kubelet_root_dir;
            login::target(&self.pod, &record, address, kubelet)?;
            SecretLogin::check(&self.pod, kubelet).await?;
        }
        self.save(record.clone()).await?;
        reached(Step::ContainerRecorded);
        let defined = self.define(record.clone()).await;
        if defined.is_err()
            && let Err(also) = self.undo_container(&record).await
        {
            tracing::error!(
                container = record.id,
                error = also.chain(),
                "cannot be undone now; the next try does it"
            );
        }
        defined
    }

    /// Takes back what a request that came to nothing has left, and refuses a second machine.
    ///
    /// A kubelet that was interrupted between creating and starting a container makes its next attempt without a word
    /// about the one before.
    async fn make_room(&mut self, new: &NewContainer, id: &str) -> Result<()> {
        for other in self.records() {
            let same = other.id == id;
            // Processes share their machine, and a machine container takes it over from them.
            let beside =
                other.name != new.name && (new.process.is_some() || !matches!(other.role, Role::Machine));
            match other.phase {
                ContainerPhase::Exited => {}
                _ if beside => {}
                // What its guest still holds of a process is removed by whoever removes it.
                ContainerPhase::Removing if !other.is_machine() && self.has_live_machine() => {
                    if same {
                        return Err(Error::Unavailable(format!(
                            "attempt {} of container {:?} is being removed; try again when it is gone",
                            other.attempt, other.name
                        )));
                    }
                }
                _ if same && !matches!(other.phase, ContainerPhase::Creating | ContainerPhase::Removing) => {}
                ContainerPhase::Creating | ContainerPhase::Created | ContainerPhase::Removing
                    if other.name == new.name =>
                {
                    if self.machine_runs(&other) {
                        self.end(other.clone()).await?;
                        if self.is_spent() {
                            // It held what the init containers have done: the pod has to begin anew.
                            return Err(self.spent());
                        }
                    }
                    self.undo_container(&other).await?;
                }
                ContainerPhase::Starting if other.name == new.name => {
                    return Err(Error::Unavailable(format!(
                        "attempt {} of container {:?} still starts; try again when it runs or has ended",
                        other.attempt, other.name
                    )));
                }
                _ if other.name == new.name => {
                    return Err(Error::Unavailable(format!(
                        "attempt {} of container {:?} still runs; stop it first",
                        other.attempt, other.name
                    )));
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "pod {} already has a machine, the container {:?}; a pod has one container without a command, \
                         so give {:?} one",
                        self.pod.id, other.name, new.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The record of a container that shall be made.
    pub(super) fn record(
        &self,
        new: NewContainer,
        id: String,
        machine: MachineId,
        role: Role,
    ) -> ContainerRecord {
        let names: Vec<String> = [&new.image].into_iter().chain(&new.found.tags).cloned().collect();
        ContainerRecord {
            id,
            machine,
            role,
            pod_id: self.pod.id.clone(),
            name: new.name,
            attempt: new.attempt,
            created_at: now(),
            facts: facts::merged(new.found.facts, &names, &self.context.config.image),
            image: new.image,
            image_id: new.found.id,
            labels: new.labels,
            annotations: new.annotations,
            mounts: new.mounts,
            log_path: new.log_path,
            resources: new.resources,
            phase: ContainerPhase::Creating,
            started_at: None,
            answered: false,
            identity: None,
            stop_by: None,
            proven_identity: Vec::new(),
            boot: None,
            exit: None,
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "define machine")]
    async fn define(&mut self, mut record: ContainerRecord) -> Result<()> {
        let provider = self.context.provider(&self.pod.provider)?.clone();
        if let Some(adopting) = provider.adopting() {
            let entry = self.context.machine_to_adopt(&self.pod, &record)?;
            let entry = entry.ok_or_else(|| Error::not_found("image", &record.image))?;
            let pod: Vec<_> = self.attachment()?.all_addresses().collect();
            adopting.adopt(&record.machine, &entry.name, &pod).await?;
        } else {
            self.context.images.lease(&record.image_id, &record.id).await?;
            reached(Step::ImageLeased);
            let attachment = self.attachment()?;
            let spec = machine::spec(&self.context, &self.pod, &record, &attachment).await?;
            provider.define(&spec).await?;
        }
        reached(Step::MachineDefined);
        record.phase = ContainerPhase::Created;
        self.save(record).await?;
        reached(Step::ContainerCreated);
        Ok(())
    }

    /// Removes everything on the node of a container that does not run, its record last.
    #[tracing::instrument(level = "debug", skip_all, name = "forget container")]
    pub(in crate::pod) async fn undo_container(&mut self, record: &ContainerRecord) -> Result<()> {
        if record.is_machine() {
            self.context.provider(&self.pod.provider)?.destroy(&record.machine).await?;
            reached(Step::MachineDestroyed);
            self.context.images.release(&record.image_id, &record.id).await?;
            reached(Step::ImageReleased);
        }
        let checkpoint = self.checkpoint(&record.id);
        for file in [checkpoint.with_extension("json.new"), checkpoint] {
            match tokio::fs::remove_file(&file).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::failed(format!("cannot remove {}", file.display()), error));
                }
                _ => {}
            }
        }
        self.context.store.delete_container(&record.id).await?;
        self.containers.remove(&record.id);
        self.publish();
        reached(Step::ContainerForgotten);
        Ok(())
    }
}
