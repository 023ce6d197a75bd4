//! What happens to a running machine, and what the owner does about it.

use std::sync::Arc;
use std::time::Duration;

use machines::{Ended, MachineState, StopMode};
use tokio::sync::watch;
use tokio::time::Instant;
use transports::{Error, Identity, LinkState, Session};

use super::end::lost;
use super::lent::pin;
use super::{LAST_LINES, Owner};
use crate::error::Result;
use crate::fault::{Step, reached};
use crate::pod::facts;
use crate::pod::live::{Happened, StopPlan};
use crate::pod::settings::{Asked, Settings};
use crate::pod::stop::{self, GaveUp};
use crate::store::{ContainerPhase, ContainerRecord};
use crate::telemetry;

/// How long after a failure a machine is forced off again.
const FORCE_AGAIN: Duration = Duration::from_secs(5);

impl Owner {
    /// Handles one thing that happened to the live container.
    pub(super) async fn handle(&mut self, happened: Happened) -> Result<()> {
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        let record = self
            .containers
            .get(&live.container)
            .map(|record| record.as_ref().clone())
            .expect("a live container has a record");
        match happened {
            Happened::Machine(MachineState::Running { resets }) => {
                if live.link.is_none() && record.phase == ContainerPhase::Starting {
                    return self.runs(record, true).await;
                }
                if resets > live.resets {
                    live.resets = resets;
                    self.rebooted(&record);
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
            Happened::Link(state) => self.link_changed(record, state).await,
            Happened::StartWaitOver => {
                live.start_wait = None;
                self.runs(record, false).await
            }
            Happened::BootDeadline => {
                let seen = live.link.as_ref().and_then(|link| link.session().err());
                let seen = seen
                    .map_or_else(|| "it answered at the last moment".to_owned(), |error| error.to_string());
                let refusal = live.link.as_ref().and_then(transports::Link::refusal);
                let mismatch = live.mismatch.take();
                if let (None, None, Some(gone)) = (&mismatch, &refusal, self.gone(&record, &seen)) {
                    return self.give_up(record, gone).await;
                }
                let why = match (mismatch, refusal) {
                    (Some(mismatch), _) => GaveUp::IdentityMismatch(mismatch),
                    (None, Some(refusal)) => GaveUp::LoginRefused(refusal),
                    (None, None) => GaveUp::BootTimeout(seen),
                };
                self.give_up(record, why).await
            }
            Happened::TryAgain => {
                live.try_again = None;
                if let Some(link) = &live.link {
                    link.nudge();
                }
                Ok(())
            }
            Happened::Set(session, outcome) => {
                live.settings = None;
                match outcome {
                    Ok(boot) => self.answered(record, session, boot).await,
                    Err(error) if live.stop.is_some() => {
                        tracing::info!(container = record.id, %error, "it lacks what its pod asks for, and ends anyway");
                        Ok(())
                    }
                    Err(error) => self.give_up(record, GaveUp::Unfit(error.to_string())).await,
                }
            }
            Happened::PowerButton => {
                if let Some(plan) = &mut live.stop {
                    plan.power_button = None;
                }
                let provider = self.context.provider(&self.pod.provider)?;
                Ok(provider.stop(&record.machine, StopMode::PowerButton).await?)
            }
            Happened::Force => {
                // Armed again first: a machine that cannot be forced off now is forced off later.
                live.stop = Some(StopPlan::force_in(FORCE_AGAIN));
                self.stop_forwarding().await?;
                self.give_back_now(&record).await;
                let provider = self.context.provider(&self.pod.provider)?;
                Ok(provider.stop(&record.machine, StopMode::Force).await?)
            }
        }
    }

    /// The guest is there and as the pod asks for.
    async fn answered(
        &mut self,
        mut record: ContainerRecord,
        session: Arc<dyn Session>,
        boot: Option<String>,
    ) -> Result<()> {
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        telemetry::session_opened(record.answered, record.started_at);
        if let (true, Some(Identity::Pinned(keys))) =
            (record.facts.trust_on_first_use == Some(true), session.identity())
        {
            record.proven_identity = keys;
        }
        live.sessions.send_if_modified(|known| {
            let is_new = !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &session));
            *known = Some(session);
            is_new
        });
        live.boot_deadline = None;
        live.boot = None;
        live.boots_anew = false;
        live.rebooting_until = None;
        live.mismatch = None;
        live.patience.reset();
        let anew = record.boot != boot;
        record.boot = boot;
        if anew && record.answered {
            self.save(record.clone()).await?;
        }
        self.runs(record, true).await
    }

    async fn link_changed(&mut self, record: ContainerRecord, state: LinkState) -> Result<()> {
        let adopts = self.adopts();
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        match state {
            LinkState::Ready(session) if live.stop.is_some() && adopts => {
                self.begin_release(&record, session, Duration::ZERO)
            }
            LinkState::Ready(session) => {
                // A machine that was taken over from processes has answered, and has not been given what this container asks for.
                let starting = record.phase == ContainerPhase::Starting;
                // One that is only lent may have been lent to another meanwhile.
                let given = record.boot.clone().filter(|_| !starting && !live.boots_anew && !adopts);
                self.ask_late_to_shut_down(&record, session.clone());
                // The boot's deadline goes on: it has answered once it is as the pod asks for.
                self.begin_settings(&record, session, given)
            }
            LinkState::Connecting { ended, .. } => {
                live.settings = None;
                live.sessions.send_if_modified(|session| session.take().is_some());
                // A guest that hangs closes nothing. One that does may be on its way down, to boot anew.
                if let (Some(Error::Lost(_)), None) = (ended, live.rebooting_until) {
                    live.rebooting_until = live.reboot_grace.map(|grace| Instant::now() + grace);
                    self.publish();
                }
                self.lent_is_silent(&record).await
            }
            LinkState::Closed => {
                live.settings = None;
                live.sessions.send_if_modified(|session| session.take().is_some());
                Ok(())
            }
            LinkState::Failed(error) => {
                // A guest may show another key before its first boot has installed the expected one. Nothing secret was
                // sent, so it is asked again until it is given up.
                tracing::warn!(container = record.id, %error, "the guest is not entered");
                live.settings = None;
                live.sessions.send_if_modified(|session| session.take().is_some());
                // One that was there before has no first boot to come.
                if let (Error::WrongIdentity(_), None) = (&error, &live.stop)
                    && let Some(changed) = self.changed(&record, &error)
                {
                    return self.give_up(record, changed).await;
                }
                let Some(live) = self.live.as_mut() else { return Ok(()) };
                live.mismatch = matches!(error, Error::WrongIdentity(_))
                    .then(|| format!("{error}; correct the image's {}", pin(&record)));
                live.try_again = Some(Instant::now() + live.patience.next_wait());
                Ok(())
            }
        }
    }

    /// Begins to give the guest what its pod and this container ask for, but in the boot that was given it.
    pub(super) fn begin_settings(
        &mut self,
        record: &ContainerRecord,
        session: Arc<dyn Session>,
        given: Option<String>,
    ) -> Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        let lent = self.loan(record)?;
        let (family, volumes) = (facts::family(&record.facts), self.volumes(record, &live.volumes)?);
        let asked = Asked::of(&self.pod, family, volumes, record.answered, lent);
        if let Some(live) = &mut self.live {
            live.settings = Some(Settings::begin(session, asked, given));
        }
        Ok(())
    }

    /// The guest has reset itself and boots again: the old session will never say so, a new link is opened.
    fn rebooted(&mut self, record: &ContainerRecord) {
        tracing::info!(container = record.id, "the guest has reset itself and boots again");
        let opened = self.open_link(record);
        if let Some(live) = &mut self.live {
            live.sessions.send_replace(None);
            live.settings = None;
            // One that resets itself again and again without an answer has the time of its first reset.
            if !live.boots_anew {
                live.rebooting_until = live.reboot_grace.map(|grace| Instant::now() + grace);
            }
            live.boots_anew = true;
            match opened {
                Ok(opened) => {
                    if let Some(old) = live.link.take() {
                        old.close();
                    }
                    (live.link, live.link_state) = opened.unzip();
                }
                // The old one finds out by its silence, and comes to the guest again.
                Err(error) => {
                    tracing::warn!(container = record.id, error = error.chain(), "no new link to the guest");
                }
            }
        }
        self.publish();
    }

    /// Ends a machine that is of no use, and remembers why.
    async fn give_up(&mut self, mut record: ContainerRecord, why: GaveUp) -> Result<()> {
        telemetry::boot_given_up();
        if let Some(live) = &mut self.live {
            live.boot_deadline = None;
            live.start_wait = None;
            live.gave_up = Some(why);
            live.stop = Some(StopPlan::force_in(Duration::ZERO));
        }
        record.phase = ContainerPhase::Stopping;
        record.stop_by = Some(crate::pod::now());
        self.save(record).await
    }

    /// The container runs: its guest has answered, or its caller no longer waits for that.
    pub(super) async fn runs(&mut self, mut record: ContainerRecord, answered: bool) -> Result<()> {
        if let Some(live) = &mut self.live {
            live.start_wait = None;
        }
        let starting = record.phase == ContainerPhase::Starting;
        if starting {
            record.phase = ContainerPhase::Running;
        }
        if starting || (answered && !record.answered) {
            record.answered |= answered;
            self.save(record).await?;
            reached(Step::RunningRecorded);
        }
        Ok(())
    }

    /// The machine has ended: the log gets its last line, then the exit is told.
    pub(super) async fn finish(&mut self, mut record: ContainerRecord, ended: &Ended) -> Result<()> {
        let mut gave_up = None;
        if let Some(live) = self.live.take_if(|live| live.container == record.id) {
            live.sessions.send_replace(None);
            if let Some(link) = &live.link {
                link.close();
            }
            live.log.finish(LAST_LINES).await;
            gave_up = live.gave_up;
        } else {
            // Nobody has followed it since the daemon began: what the console still has is copied now.
            match self.start_log(&record, watch::channel(None).1).await {
                Ok(log) => log.finish(LAST_LINES).await,
                Err(error) => tracing::warn!(container = record.id, %error, "the log has no end"),
            }
        }
        let stop_by = record.stop_by.filter(|_| record.phase == ContainerPhase::Stopping);
        let exit = stop::exit(ended, gave_up.as_ref(), stop_by);
        self.stop_forwarding().await?;
        // Its processes first: they ended with it.
        self.end_processes(&record, &exit).await?;
        record.phase = ContainerPhase::Exited;
        record.exit = Some(exit);
        self.save(record).await?;
        reached(Step::ExitRecorded);
        if self.is_spent() {
            self.settle_soon();
        }
        Ok(())
    }
}
