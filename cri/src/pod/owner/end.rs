//! A container ends because somebody asks for that.

use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use machines::{Cause, Ended, MachineState, StopMode};
use tokio::time::{Instant, timeout};
use transports::Session;

use super::Owner;
use crate::error::Result;
use crate::fault::{Step, reached};
use crate::pod::live::StopPlan;
use crate::pod::view::is_live;
use crate::pod::{facts, now, stop};
use crate::store::{ContainerPhase, ContainerRecord, PodPhase};

impl Owner {
    /// Begins to stop a container. One that does not run is a success.
    pub(super) async fn stop_container(&mut self, id: &str, grace: Duration) -> Result<()> {
        let mut record = self.container(id)?;
        if !is_live(record.phase) {
            return Ok(());
        }
        if !record.is_machine() {
            return self.stop_process(record, grace).await;
        }
        if self.live.is_none() {
            // Its machine could not be followed: there is nobody to wait for its own shutdown.
            return self.end(record).await;
        }
        let family = facts::family(&record.facts);
        let again = record.phase == ContainerPhase::Stopping;
        if !again {
            record.phase = ContainerPhase::Stopping;
            record.stop_by = Some(now().saturating_add(i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX)));
            self.save(record).await?;
            reached(Step::StopRecorded);
        }
        if self.adopts() {
            return self.stop_lent(&self.container(id)?, grace);
        }
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        let session = live.link.as_ref().and_then(|link| link.session().ok());
        let plan = StopPlan::new(grace, session.is_some() && !again);
        match &mut live.stop {
            Some(earlier) => earlier.force = earlier.force.min(plan.force),
            None => live.stop = Some(plan),
        }
        if let (false, Some(session)) = (again, session) {
            self.ask_to_shut_down(family, session, grace);
        }
        Ok(())
    }

    /// Asks the guest of a machine that shall end to shut itself down, within this time.
    fn ask_to_shut_down(&self, family: Family, session: Arc<dyn Session>, grace: Duration) {
        let (pod, processes) = (self.pod.id.clone(), self.processes_end());
        tokio::spawn(async move {
            // The kubelet stops all containers at once, and the processes are no less worth their time.
            let _ = timeout(grace / 4, processes).await;
            if let Err(error) = guests::shutdown::shut_down(session.as_ref(), family).await {
                tracing::info!(pod, %error, "the guest could not be asked to shut down");
            }
        });
    }

    /// The guest of a machine that shall end answers, for which it has not been asked yet.
    pub(super) fn ask_late_to_shut_down(&mut self, record: &ContainerRecord, session: Arc<dyn Session>) {
        let stop = self.live.as_mut().and_then(|live| live.stop.as_mut());
        let Some(plan) = stop.filter(|plan| !plan.asked) else { return };
        let left = plan.force.saturating_duration_since(Instant::now());
        *plan = StopPlan { force: plan.force, ..StopPlan::new(left, true) };
        self.ask_to_shut_down(facts::family(&record.facts), session, left);
    }

    /// Goes on with a stop that the daemon's own end interrupted, with what is left of its grace period.
    pub(super) async fn resume_stop(&mut self, record: &ContainerRecord) -> Result<()> {
        let left = record.stop_by.unwrap_or_default().saturating_sub(now());
        self.stop_container(&record.id, Duration::from_nanos(u64::try_from(left).unwrap_or_default())).await
    }

    /// Ends whatever runs, now, and records its exit. A machine that is only reserved is free again.
    pub(super) async fn end_live_now(&mut self) -> Result<()> {
        let (machines, processes): (Vec<_>, Vec<_>) =
            self.records().into_iter().partition(ContainerRecord::is_machine);
        for record in machines {
            if self.machine_runs(&record) {
                self.end(record).await?;
            } else if self.adopts() {
                self.context.provider(&self.pod.provider)?.stop(&record.machine, StopMode::Force).await?;
            }
        }
        // Those whose machine never came to run.
        for record in processes {
            self.end_process(&record.id, &stop::without_machine()).await?;
        }
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "end machine")]
    pub(super) async fn end(&mut self, record: ContainerRecord) -> Result<()> {
        self.stop_forwarding().await?;
        self.give_back_now(&record).await;
        let provider = self.context.provider(&self.pod.provider)?;
        provider.stop(&record.machine, StopMode::Force).await?;
        reached(Step::MachineEnded);
        let state = provider.watch(&record.machine).await?.borrow().clone();
        let ended = match state {
            MachineState::Ended(ended) => ended,
            _ => lost(),
        };
        self.finish(record, &ended).await
    }

    /// Stops and removes a container. One that does not exist is a success.
    pub(super) async fn remove_container(&mut self, id: &str) -> Result<()> {
        let Some(mut record) = self.recorded(id) else { return Ok(()) };
        if self.machine_runs(&record) {
            self.end(record).await?;
            record = self.container(id)?;
        }
        // Once the record is gone nothing tells that the other containers have lost their machine.
        let spent = self.pod.phase == PodPhase::Ready && self.is_spent();
        record.phase = ContainerPhase::Removing;
        self.save(record.clone()).await?;
        reached(Step::RemovalRecorded);
        self.undo_container(&record).await?;
        if spent { self.stop_pod().await } else { Ok(()) }
    }
}

/// The end of a machine that nobody saw.
pub(super) fn lost() -> Ended {
    Ended {
        cause: Cause::Lost,
        at: std::time::SystemTime::now(),
        message: "the machine is gone and nobody saw why".to_owned(),
    }
}
