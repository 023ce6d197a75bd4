//! How containers that are processes end: asked to, with their machine, or because they have; and what is left of them then.

use std::sync::Arc;
use std::time::Duration;

use guests::process::{MAX_MESSAGE_BYTES, ProcessExit};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::super::{LAST_LINES, Owner};
use super::process_id;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::pod::process::{Told, What, guest_of};
use crate::pod::view::{View, is_live};
use crate::pod::{now, stop};
use crate::store::{ContainerPhase, ContainerRecord, ExitRecord};

/// How long after its grace period a process may still be there, until its machine is ended: longer than a guest may take
/// to be told a signal, and less than the kubelet waits.
const STOP_MARGIN: Duration = Duration::from_secs(60);
/// How long a guest may take to remove what is left of a process.
const CLEANING: Duration = Duration::from_secs(30);

impl Owner {
    /// Begins to stop a process; its task tells when it has ended.
    pub(in crate::pod::owner) async fn stop_process(
        &mut self,
        mut record: ContainerRecord,
        grace: Duration,
    ) -> Result<()> {
        if record.phase != ContainerPhase::Stopping {
            record.phase = ContainerPhase::Stopping;
            record.stop_by = Some(now().saturating_add(i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX)));
            self.save(record.clone()).await?;
            reached(Step::StopRecorded);
        }
        self.force_later(&record);
        match self.processes.get(&record.id) {
            Some(process) => process.stop(grace).await,
            None if self.has_live_machine() => {
                // It could not be followed so far, and may run all the same.
                self.follow_process(&record).await?;
                if let Some(process) = self.processes.get(&record.id) {
                    process.stop(grace).await;
                }
            }
            None => self.end_process(&record.id, &stop::without_machine()).await?,
        }
        Ok(())
    }

    /// Has it seen to that a process which cannot be stopped ends with its machine.
    fn force_later(&mut self, record: &ContainerRecord) {
        let left = record.stop_by.unwrap_or_default().saturating_sub(now());
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or_default());
        let Some(force_at) = Instant::now().checked_add(left + STOP_MARGIN) else { return };
        self.settle_at = Some(self.settle_at.map_or(force_at, |earlier| earlier.min(force_at)));
    }

    /// Ends the machine of a process that should long have stopped: its guest is silent, or cannot end it.
    pub(in crate::pod::owner) async fn force_overdue(&mut self) -> Result<()> {
        let stopping =
            |record: &ContainerRecord| !record.is_machine() && record.phase == ContainerPhase::Stopping;
        for record in self.records().into_iter().filter(stopping) {
            let due = record.stop_by.is_some_and(|by| {
                now().saturating_sub(by) >= i64::try_from(STOP_MARGIN.as_nanos()).unwrap_or(i64::MAX)
            });
            match self.machine_of(&record).cloned().filter(|machine| self.machine_runs(machine)) {
                Some(machine) if due => {
                    tracing::warn!(
                        container = record.id,
                        "it did not stop in its guest; its machine is ended"
                    );
                    self.end(machine).await?;
                }
                _ if due => self.end_process(&record.id, &stop::without_machine()).await?,
                _ => self.force_later(&record),
            }
        }
        Ok(())
    }

    /// Ends the processes of a machine that has ended, after their last lines.
    pub(in crate::pod::owner) async fn end_processes(
        &mut self,
        machine: &ContainerRecord,
        exit: &ExitRecord,
    ) -> Result<()> {
        let of_machine =
            |record: &&ContainerRecord| !record.is_machine() && record.machine == machine.machine;
        let ids: Vec<String> = self.each().filter(of_machine).map(|record| record.id.clone()).collect();
        let mut words = Vec::new();
        {
            let followed = ids.iter().filter_map(|id| self.processes.get(id));
            let finished = futures_util::future::join_all(followed.map(|process| process.finish(LAST_LINES)));
            tokio::pin!(finished);
            loop {
                tokio::select! {
                    biased;
                    Some(told) = self.told.1.recv() => words.push(*told),
                    _ = &mut finished => break,
                }
            }
        }
        // One that ended by itself just before has an end of its own.
        for told in words {
            Box::pin(self.told(told)).await?;
        }
        for id in ids {
            self.end_process(&id, &stop::with_machine(exit)).await?;
        }
        Ok(())
    }

    /// Returns when no process of the pod runs.
    pub(in crate::pod::owner) fn processes_end(&self) -> impl Future<Output = ()> + use<> {
        let mut view = self.view.subscribe();
        async move {
            let live = |view: &Arc<View>| {
                view.containers
                    .values()
                    .any(|container| container.is_live() && !container.record.is_machine())
            };
            let _ = view.wait_for(|view| !live(view)).await;
        }
    }

    /// Records the end of a process that runs, or shall.
    pub(in crate::pod::owner) async fn end_process(&mut self, id: &str, exit: &ExitRecord) -> Result<()> {
        self.processes.remove(id);
        let Some(mut record) = self.recorded(id).filter(|record| is_live(record.phase)) else {
            return Ok(());
        };
        record.phase = ContainerPhase::Exited;
        record.exit = Some(exit.clone());
        self.save(record).await?;
        reached(Step::ExitRecorded);
        Ok(())
    }

    /// Puts a process's last words where the kubelet reads them. Whether they are there.
    pub(super) async fn keep_message(&self, record: &ContainerRecord, exit: &ProcessExit) -> bool {
        let path = record.process().and_then(|process| process.message_path.as_deref());
        let mount = record.mounts.iter().find(|mount| Some(mount.container_path.as_str()) == path);
        let (Some(mount), false) = (mount, exit.message.is_empty()) else { return false };
        let words = exit.message.as_bytes();
        let written = tokio::fs::write(&mount.host_path, &words[..words.len().min(MAX_MESSAGE_BYTES)]).await;
        if let Err(error) = &written {
            tracing::warn!(container = record.id, %error, "the termination message is told with the exit instead");
        }
        written.is_ok()
    }

    /// Removes a container for whoever asked. What a guest holds of a process is removed in a task of its own.
    pub(in crate::pod::owner) async fn remove_for(&mut self, id: &str, reply: oneshot::Sender<Result<()>>) {
        match self.begin_cleaning(id).await {
            Ok(Some(cleaning)) => {
                let (told, container) = (self.told.0.clone(), id.to_owned());
                tokio::spawn(async move {
                    let what = What::Cleaned(cleaning.await, reply);
                    let _ = told.send(Box::new(Told { container, what })).await;
                });
            }
            Ok(None) => drop(reply.send(self.remove_container(id).await)),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The work in the guest that comes before a process's record is forgotten; none where the guest holds nothing.
    async fn begin_cleaning(&mut self, id: &str) -> Result<Option<impl Future<Output = Result<()>> + use<>>> {
        let Some(mut record) = self.recorded(id).filter(|record| !record.is_machine()) else {
            return Ok(None);
        };
        if is_live(record.phase) {
            return Err(Error::Conflict(format!("container {id} runs; stop it before it is removed")));
        }
        // Where a start was recorded it may have been sent, whether or not that was seen.
        let Some(live) = self.live.as_ref().filter(|_| record.started_at.is_some()) else { return Ok(None) };
        let session = live.sessions.borrow().clone().ok_or_else(|| {
            Error::Unavailable(format!(
                "the guest of container {id} does not answer now; it is removed later"
            ))
        })?;
        let (known, process) = (live.guest.clone(), process_id(id)?);
        let volumes = self.volumes(&record, &live.volumes)?;
        record.phase = ContainerPhase::Removing;
        self.save(record).await?;
        reached(Step::RemovalRecorded);
        Ok(Some(async move {
            let work = async {
                let guest = guest_of(&known, session.as_ref()).await?;
                guest.remove(session.as_ref(), &process).await?;
                volumes.take(session.as_ref()).await
            };
            match timeout(CLEANING, work).await {
                Ok(done) => Ok(done?),
                Err(_) => Err(Error::TimedOut(format!(
                    "the guest did not remove what is left of the process within {} s",
                    CLEANING.as_secs()
                ))),
            }
        }))
    }
}
