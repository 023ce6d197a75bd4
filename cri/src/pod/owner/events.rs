//! What happens to a running machine, and what the owner does about it.

use std::time::Duration;

use machines::{Ended, MachineState, StopMode};
use transports::LinkState;

use super::Owner;
use super::container::lost;
use crate::error::Result;
use crate::fault::{Step, reached};
use crate::pod::live::Happened;
use crate::pod::stop::{self, GaveUp};
use crate::store::{ContainerPhase, ContainerRecord};

/// How long the last lines of a log may take to be written after the machine has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

impl Owner {
    /// Handles one thing that happened to the live container.
    pub(super) async fn handle(&mut self, happened: Happened) -> Result<()> {
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        let record = self.containers.get(&live.container).cloned().expect("a live container has a record");
        match happened {
            Happened::Machine(MachineState::Running { resets }) => {
                if live.link.is_none() && record.phase == ContainerPhase::Starting {
                    return self.runs(record, true).await;
                }
                if resets > 0 {
                    tracing::info!(
                        container = record.id,
                        resets,
                        "the guest has reset itself and boots again"
                    );
                }
                Ok(())
            }
            Happened::Machine(MachineState::Ended(ended)) => {
                reached(Step::MachineEnded);
                self.finish(record, &ended).await
            }
            Happened::Machine(MachineState::Absent | MachineState::Defined) => {
                self.finish(record, &lost()).await
            }
            Happened::Link(LinkState::Ready(session)) => {
                live.sessions.send_replace(Some(session));
                live.boot_deadline = None;
                if record.phase == ContainerPhase::Starting || !record.answered {
                    return self.runs(record, true).await;
                }
                Ok(())
            }
            Happened::Link(LinkState::Connecting { .. } | LinkState::Closed) => {
                live.sessions.send_replace(None);
                Ok(())
            }
            Happened::Link(LinkState::Failed(error)) => {
                live.sessions.send_replace(None);
                tracing::error!(container = record.id, %error, "the guest is not the one that was expected");
                if record.answered {
                    return Ok(());
                }
                self.give_up(record, GaveUp::IdentityMismatch(error.to_string())).await
            }
            Happened::StartWaitOver => {
                live.start_wait = None;
                self.runs(record, false).await
            }
            Happened::BootDeadline => {
                let seen = live.link.as_ref().and_then(|link| link.session().err());
                let seen = seen
                    .map_or_else(|| "it answered at the last moment".to_owned(), |error| error.to_string());
                self.give_up(record, GaveUp::BootTimeout(seen)).await
            }
            Happened::PowerButton => {
                if let Some(plan) = &mut live.stop {
                    plan.power_button = None;
                }
                let provider = self.context.provider(&self.pod.provider)?;
                Ok(provider.stop(&record.machine, StopMode::PowerButton).await?)
            }
            Happened::Force => {
                live.stop = None;
                self.force(&record.machine).await
            }
        }
    }

    /// Ends a machine that is of no use, and remembers why.
    async fn give_up(&mut self, mut record: ContainerRecord, why: GaveUp) -> Result<()> {
        if let Some(live) = &mut self.live {
            live.boot_deadline = None;
            live.start_wait = None;
            live.gave_up = Some(why);
        }
        record.phase = ContainerPhase::Stopping;
        let machine = record.machine.clone();
        self.save(record).await?;
        self.force(&machine).await
    }

    async fn force(&self, machine: &machines::MachineId) -> Result<()> {
        Ok(self.context.provider(&self.pod.provider)?.stop(machine, StopMode::Force).await?)
    }

    /// The container runs: its guest has answered, or its caller no longer waits for that.
    async fn runs(&mut self, mut record: ContainerRecord, answered: bool) -> Result<()> {
        if let Some(live) = &mut self.live {
            live.start_wait = None;
        }
        let starting = record.phase == ContainerPhase::Starting;
        if starting {
            record.phase = ContainerPhase::Running;
        }
        if starting || answered != record.answered {
            record.answered |= answered;
            self.save(record).await?;
            reached(Step::RunningRecorded);
        }
        Ok(())
    }

    /// The machine has ended: the log gets its last line, then the exit is told.
    pub(super) async fn finish(&mut self, record: ContainerRecord, ended: &Ended) -> Result<()> {
        let mut gave_up = None;
        if let Some(live) = self.live.take_if(|live| live.container == record.id) {
            gave_up = live.gave_up;
            live.sessions.send_replace(None);
            if let Some(link) = &live.link {
                link.close();
            }
            live.log.finish(LAST_LINES).await;
        }
        self.record_exit(record, ended, gave_up.as_ref()).await
    }

    pub(super) async fn record_exit(
        &mut self,
        mut record: ContainerRecord,
        ended: &Ended,
        gave_up: Option<&GaveUp>,
    ) -> Result<()> {
        record.phase = ContainerPhase::Exited;
        record.exit = Some(stop::exit(ended, gave_up));
        self.save(record).await?;
        reached(Step::ExitRecorded);
        Ok(())
    }
}
