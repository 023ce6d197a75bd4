//! A container's machine runs: it is started, and followed from then on, also by the next daemon.

use std::sync::Arc;
use std::time::Duration;

use machines::{MachineState, StopMode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use transports::{Backoff, Link, LinkState, Session, Sparing};

use super::Owner;
use super::is_live;
use crate::convert::container::log_path;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::logs::{LogTask, LogTaskConfig};
use crate::pod::live::Live;
use crate::pod::process::Known;
use crate::pod::protocol::Protocol;
use crate::pod::{facts, login, now, stop};
use crate::store::{ContainerPhase, ContainerRecord};
use crate::volume::Keeper;

impl Owner {
    /// Starts a created container. One that starts or runs already is a success.
    pub(super) async fn start_container(&mut self, id: &str) -> Result<()> {
        let record = self.container(id)?;
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
        if record.is_machine() { self.start_machine(record).await } else { self.start_process(record).await }
    }

    /// Starts a created machine. What has started of one that cannot run is ended again.
    pub(super) async fn start_machine(&mut self, mut record: ContainerRecord) -> Result<()> {
        record.phase = ContainerPhase::Starting;
        record.started_at = Some(now());
        self.save(record.clone()).await?;
        reached(Step::StartRecorded);
        if self.live.as_ref().is_some_and(|live| live.container == record.id) {
            let started = self.start_adopted(record.clone()).await;
            if started.is_err() {
                // It may be asked for again: its machine runs on.
                record.phase = ContainerPhase::Created;
                self.save(record).await?;
            }
            return started;
        }
        let started = self.bring_to_life(&record).await;
        if let Err(error) = &started {
            self.live = None;
            // Whoever has the machine next shall not be reached by this pod's address.
            if let Err(also) = self.stop_forwarding().await {
                tracing::error!(
                    container = record.id,
                    error = also.chain(),
                    "its address may lead to the machine still"
                );
            }
            let provider = self.context.provider(&self.pod.provider)?;
            if let Err(also) = provider.stop(&record.machine, StopMode::Force).await {
                tracing::error!(container = record.id, error = %also, "what had started of it cannot be ended");
            }
            record.phase = ContainerPhase::Exited;
            record.exit = Some(stop::start_error(&error.chain()));
            self.save(record).await?;
            if self.is_spent() {
                self.settle_soon();
            }
        }
        started
    }

    /// Runs the machine of a container, if it never ran, and holds what a running one needs.
    #[tracing::instrument(level = "debug", skip_all, name = "start machine")]
    pub(in crate::pod) async fn bring_to_life(&mut self, record: &ContainerRecord) -> Result<()> {
        let provider = self.context.provider(&self.pod.provider)?.clone();
        let (sessions, seen) = watch::channel(None);
        let log = self.start_log(record, seen).await?;
        let mut machine = provider.watch(&record.machine).await?;
        let state = machine.borrow().clone();
        let adopted = self.adopted(record);
        if let (Some(adopted), false) = (&adopted, matches!(state, MachineState::Ended(_))) {
            self.forward(adopted).await?;
        }
        if record.phase == ContainerPhase::Starting && state == MachineState::Defined {
            provider.start(&record.machine).await?;
            reached(Step::MachineStarted);
        }
        machine.mark_changed();
        let (link, link_state) = self.open_link(record)?.unzip();
        let deadline = facts::boot_deadline(&record.facts, &self.pod.annotations, &self.context.config)?;
        let start_wait = Duration::from_secs(self.context.config.timeouts.start_wait_seconds);
        let ran = record.started_at.map_or(0, |started| now().saturating_sub(started));
        let ran = Duration::from_nanos(u64::try_from(ran).unwrap_or_default());
        // One that was there before may have booted, or gone, while nobody looked.
        let since = if adopted.is_some() && record.answered { Duration::ZERO } else { ran };
        let left = |whole: Duration| Instant::now() + whole.saturating_sub(since);
        let waits = link.is_some() && record.phase == ContainerPhase::Starting;
        let boots = link.is_some() && (!record.answered || adopted.is_some());
        let family = facts::family(&record.facts);
        let volumes = Keeper::new(self.context.watcher.clone(), sessions.subscribe(), family);
        // What an earlier run of this program has given; the rest is followed from when it is given.
        for known in self.each().filter(|known| is_live(known.phase) && known.answered) {
            self.volumes(known, &volumes)?.adopt().await;
        }
        self.live = Some(Live {
            container: record.id.clone(),
            machine,
            start_wait: waits.then(|| left(start_wait)),
            boot_deadline: boots.then(|| left(deadline)),
            link,
            link_state,
            sessions,
            guest: Known::new(family),
            boot: boots.then(|| tracing::debug_span!("boot", container = record.id)),
            settings: None,
            volumes,
            log,
            stop: None,
            releasing: JoinSet::new(),
            gave_up: None,
            resets: 0,
            boots_anew: false,
            reboot_grace: facts::reboot_grace(&self.pod.annotations)?,
            rebooting_until: None,
            mismatch: None,
            try_again: None,
            patience: Backoff::new(Duration::from_secs(2), Duration::from_secs(30)),
        });
        self.publish();
        Ok(())
    }

    /// A link to the container's guest, where there is a way to it.
    pub(super) fn open_link(
        &self,
        record: &ContainerRecord,
    ) -> Result<Option<(Link, watch::Receiver<LinkState>)>> {
        let address = self.guest_address(record);
        let Some(address) = address.filter(|_| self.guests_answer()) else { return Ok(None) };
        let kubelet = &self.context.config.kubelet_root_dir;
        let mut transport = Protocol::of(&record.facts)?.transport();
        if self.adopts() {
            transport = Arc::new(Sparing::new(transport));
        }
        let link = Link::open(transport, login::target(&self.pod, record, address, kubelet)?);
        let mut state = link.state();
        state.mark_changed();
        Ok(Some((link, state)))
    }

    /// The container's log, from where it was left.
    pub(super) async fn start_log(
        &self,
        record: &ContainerRecord,
        session: watch::Receiver<Option<Arc<dyn Session>>>,
    ) -> Result<LogTask> {
        let provider = self.context.provider(&self.pod.provider)?;
        let config = LogTaskConfig {
            log_path: log_path(record, &self.pod),
            checkpoint: self.checkpoint(&record.id),
            console_log: provider.console(&record.machine).map(|console| console.log),
            family: facts::family(&record.facts),
            source: facts::log(&record.facts, &self.pod.annotations)?,
            session,
        };
        Ok(LogTask::start(config).await?)
    }

    /// Opens the log of a running container anew; any other has none open.
    pub(super) async fn reopen_log(&mut self, id: &str) -> Result<()> {
        let record = self.container(id)?;
        if let Some(process) = self.processes.get(id) {
            return process.reopen().await;
        }
        match &self.live {
            Some(live) if live.container == id => Ok(live.log.reopen().await?),
            _ => Err(Error::Conflict(format!(
                "container {id} does not run ({:?}); only a running container has an open log",
                record.phase
            ))),
        }
    }

    /// Whether the pod's machines have guests that answer.
    pub(super) fn guests_answer(&self) -> bool {
        self.context.answering.contains(&self.pod.provider)
    }

    pub(super) fn checkpoint(&self, container: &str) -> std::path::PathBuf {
        self.context.config.logs_dir().join(format!("{container}.json"))
    }
}
