//! A container's life as its pod's owner drives it. Each step is recorded, then done, and may be done again.

use std::sync::Arc;
use std::time::Duration;

use machines::StopMode;
use tokio::sync::watch;
use tokio::time::Instant;
use transports::{Link, Session};

use super::Owner;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::logs::{LogTask, LogTaskConfig};
use crate::pod::live::{Live, StopPlan};
use crate::pod::request::NewContainer;
use crate::pod::view::is_live;
use crate::pod::{facts, login, machine, now, stop};
use crate::store::{ContainerPhase, ContainerRecord};

impl Owner {
    /// Makes a container and its machine, or finds the one that the same request has made already.
    pub(super) async fn create_container(&mut self, new: NewContainer) -> Result<String> {
        let attachment = self.attachment()?;
        let id = machine::container_id(&self.pod.id, &new.name, new.attempt);
        match self.containers.get(&id).cloned() {
            Some(unfinished) if unfinished.phase == ContainerPhase::Creating => {
                self.define(unfinished).await?;
                return Ok(id);
            }
            Some(_) => return Ok(id),
            None => {}
        }
        self.admit(&new)?;
        let config = &self.context.config;
        let names: Vec<String> = [&new.image].into_iter().chain(&new.found.tags).cloned().collect();
        let record = ContainerRecord {
            machine: machine::machine_id(&id)?,
            id: id.clone(),
            pod_id: self.pod.id.clone(),
            name: new.name,
            attempt: new.attempt,
            created_at: now(),
            facts: facts::merged(new.found.facts, &names, &config.image),
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
            exit: None,
        };
        facts::log(&record.facts, &self.pod.annotations)?;
        facts::boot_deadline(&record.facts, &self.pod.annotations, config)?;
        if let (Some(_), Some(address)) = (self.transport(), attachment.address()) {
            login::target(&self.pod, &record.image, &record.facts, address)?;
        }
        self.save(record.clone()).await?;
        reached(Step::ContainerRecorded);
        if let Err(error) = self.define(record.clone()).await {
            self.undo_container(&record).await?;
            return Err(error);
        }
        Ok(id)
    }

    /// Whether the pod can take another machine.
    fn admit(&self, new: &NewContainer) -> Result<()> {
        let other = self.containers.values().find(|other| other.phase != ContainerPhase::Exited);
        match other {
            Some(other) => Err(Error::invalid(format!(
                "pod {} already has the container {:?}, which is its machine; a pod has one container without a \
                 command, so {:?} cannot join it",
                self.pod.id, other.name, new.name
            ))),
            None => Ok(()),
        }
    }

    async fn define(&mut self, mut record: ContainerRecord) -> Result<()> {
        self.context.images.lease(&record.image_id, &record.id).await?;
        reached(Step::ImageLeased);
        let attachment = self.attachment()?;
        let spec = machine::spec(&self.context, &self.pod, &record, &attachment).await?;
        self.context.provider(&self.pod.provider)?.define(&spec).await?;
        reached(Step::MachineDefined);
        record.phase = ContainerPhase::Created;
        self.save(record).await?;
        reached(Step::ContainerCreated);
        Ok(())
    }

    /// Takes back a container that was never created.
    pub(in crate::pod) async fn undo_container(&mut self, record: &ContainerRecord) -> Result<()> {
        self.context.provider(&self.pod.provider)?.destroy(&record.machine).await?;
        reached(Step::MachineDestroyed);
        self.context.images.release(&record.image_id, &record.id).await?;
        reached(Step::ImageReleased);
        let checkpoint = self.checkpoint(&record.id);
        match tokio::fs::remove_file(&checkpoint).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failed(format!("cannot remove {}", checkpoint.display()), error));
            }
            _ => {}
        }
        self.context.store.delete_container(&record.id).await?;
        self.containers.remove(&record.id);
        self.publish();
        reached(Step::ContainerForgotten);
        Ok(())
    }

    /// Starts a created container's machine. One that starts or runs already is a success.
    pub(super) async fn start_container(&mut self, id: &str) -> Result<()> {
        let mut record = self.container(id)?;
        match record.phase {
            ContainerPhase::Created => {}
            ContainerPhase::Starting | ContainerPhase::Running => return Ok(()),
            _ => {
                return Err(Error::Conflict(format!(
                    "container {id} has ended or is being removed; the kubelet makes a new one to start it again"
                )));
            }
        }
        self.attachment()?;
        record.phase = ContainerPhase::Starting;
        record.started_at = Some(now());
        self.save(record.clone()).await?;
        reached(Step::StartRecorded);
        let started = self.bring_to_life(&record).await;
        if let Err(error) = &started {
            self.context.provider(&self.pod.provider)?.stop(&record.machine, StopMode::Force).await?;
            self.live = None;
            record.phase = ContainerPhase::Exited;
            record.exit = Some(stop::start_error(&error.chain()));
            self.save(record).await?;
        }
        started
    }

    /// Runs the machine of a container and holds what a running one needs. Also after a restart of the daemon.
    pub(in crate::pod) async fn bring_to_life(&mut self, record: &ContainerRecord) -> Result<()> {
        let provider = self.context.provider(&self.pod.provider)?.clone();
        let (sessions, seen) = watch::channel(None);
        let log = self.start_log(record, seen).await?;
        if matches!(record.phase, ContainerPhase::Starting) {
            provider.start(&record.machine).await?;
            reached(Step::MachineStarted);
        }
        let mut machine = provider.watch(&record.machine).await?;
        machine.mark_changed();
        let mut link_state = None;
        let mut link = None;
        let address = self.pod.attachment.as_ref().and_then(crate::network::Attachment::address);
        if let (Some(transport), Some(address)) = (self.transport(), address) {
            let target = login::target(&self.pod, &record.image, &record.facts, address)?;
            let opened = Link::open(transport, target);
            let mut state = opened.state();
            state.mark_changed();
            link_state = Some(state);
            link = Some(opened);
        }
        let timeouts = &self.context.config.timeouts;
        let since = Instant::now();
        let deadline = facts::boot_deadline(&record.facts, &self.pod.annotations, &self.context.config)?;
        self.live = Some(Live {
            container: record.id.clone(),
            machine,
            start_wait: link.is_some().then(|| since + Duration::from_secs(timeouts.start_wait_seconds)),
            boot_deadline: (link.is_some() && !record.answered).then(|| since + deadline),
            link,
            link_state,
            sessions,
            log,
            stop: None,
            gave_up: None,
        });
        self.publish();
        Ok(())
    }

    async fn start_log(
        &self,
        record: &ContainerRecord,
        session: watch::Receiver<Option<Arc<dyn Session>>>,
    ) -> Result<LogTask> {
        let provider = self.context.provider(&self.pod.provider)?;
        let log_path = std::path::Path::new(&self.pod.log_directory).join(&record.log_path);
        let config = LogTaskConfig {
            log_path: (!record.log_path.is_empty()).then_some(log_path),
            checkpoint: self.checkpoint(&record.id),
            console_log: provider.console(&record.machine).map(|console| console.log),
            source: facts::log(&record.facts, &self.pod.annotations)?,
            session,
        };
        Ok(LogTask::start(config).await?)
    }

    fn transport(&self) -> Option<Arc<dyn transports::Transport>> {
        self.context.transports.get(&self.pod.provider).cloned()
    }

    fn checkpoint(&self, container: &str) -> std::path::PathBuf {
        self.context.config.state_dir.join("logs").join(format!("{container}.json"))
    }

    /// Begins to stop a container. One that does not run is a success.
    pub(in crate::pod) async fn stop_container(&mut self, id: &str, grace: Duration) -> Result<()> {
        let mut record = self.container(id)?;
        if !is_live(record.phase) {
            return Ok(());
        }
        if self.live.is_none() {
            // Its machine was started and could not be followed: end it from here.
            self.end_machine(&record).await?;
            return self.record_exit(record, &lost(), None).await;
        }
        let again = record.phase == ContainerPhase::Stopping;
        if !again {
            record.phase = ContainerPhase::Stopping;
            self.save(record).await?;
            reached(Step::StopRecorded);
        }
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        let session = live.link.as_ref().and_then(|link| link.session().ok());
        let plan = StopPlan::new(grace, session.is_some());
        match &mut live.stop {
            Some(earlier) => earlier.force = earlier.force.min(plan.force),
            None => live.stop = Some(plan),
        }
        if let (false, Some(session)) = (again, session) {
            let pod = self.pod.id.clone();
            tokio::spawn(async move {
                if let Err(error) = guests::shutdown::shut_down(session.as_ref()).await {
                    tracing::info!(pod, %error, "the guest could not be asked to shut down");
                }
            });
        }
        Ok(())
    }

    /// Ends whatever runs, now, and records its exit.
    pub(super) async fn end_live_now(&mut self) -> Result<()> {
        let running: Vec<ContainerRecord> =
            self.containers.values().filter(|record| is_live(record.phase)).cloned().collect();
        for record in running {
            self.end_machine(&record).await?;
            let ended = self.how_it_ended(&record).await?;
            self.finish(record, &ended).await?;
        }
        Ok(())
    }

    async fn end_machine(&self, record: &ContainerRecord) -> Result<()> {
        let provider = self.context.provider(&self.pod.provider)?;
        provider.stop(&record.machine, StopMode::Force).await?;
        reached(Step::MachineEnded);
        Ok(())
    }

    async fn how_it_ended(&self, record: &ContainerRecord) -> Result<machines::Ended> {
        let provider = self.context.provider(&self.pod.provider)?;
        let state = provider.watch(&record.machine).await?.borrow().clone();
        Ok(match state {
            machines::MachineState::Ended(ended) => ended,
            _ => lost(),
        })
    }

    /// Stops and removes a container. One that does not exist is a success.
    pub(super) async fn remove_container(&mut self, id: &str) -> Result<()> {
        let Some(mut record) = self.containers.get(id).cloned() else { return Ok(()) };
        if is_live(record.phase) {
            self.end_machine(&record).await?;
            let ended = self.how_it_ended(&record).await?;
            self.finish(record, &ended).await?;
            record = self.container(id)?;
        }
        record.phase = ContainerPhase::Removing;
        self.save(record.clone()).await?;
        reached(Step::RemovalRecorded);
        self.undo_container(&record).await
    }

    /// Opens the log of a running container anew; any other has none open.
    pub(super) async fn reopen_log(&mut self, id: &str) -> Result<()> {
        let record = self.container(id)?;
        match &self.live {
            Some(live) if live.container == id => Ok(live.log.reopen().await?),
            _ => Err(Error::Conflict(format!(
                "container {id} does not run ({:?}); only a running container has an open log",
                record.phase
            ))),
        }
    }
}

/// The end of a machine that nobody saw.
pub(super) fn lost() -> machines::Ended {
    machines::Ended {
        cause: machines::Cause::Lost,
        at: std::time::SystemTime::now(),
        message: "the machine is gone and nobody saw why".to_owned(),
    }
}
