//! A container whose machine runs: what is held for it, and what can happen to it.
//!
//! ```text
//!  go live -> waiting for the first answer -> answered -> (stopping: guest, power button, force) -> machine ended
//! ```
//!
//! Nothing here is durable: after a restart of the daemon it is made again from the record and the machine.

use std::sync::Arc;
use std::time::Duration;

use machines::MachineState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use transports::{Backoff, Link, LinkState, Session};

use super::process::Known;
use super::settings::Settings;
use super::stop::GaveUp;
use crate::logs::LogTask;
use crate::volume::Keeper;

/// What is held for a running machine.
pub(super) struct Live {
    /// The container that the machine is.
    pub(super) container: String,
    /// What becomes of the machine.
    pub(super) machine: watch::Receiver<MachineState>,
    /// The way to the guest; none where nothing answers.
    pub(super) link: Option<Link>,
    /// What becomes of the link.
    pub(super) link_state: Option<watch::Receiver<LinkState>>,
    /// The session of the moment, for the log.
    pub(super) sessions: watch::Sender<Option<Arc<dyn Session>>>,
    /// What keeps the volumes in the guest in step.
    pub(super) volumes: Keeper,
    /// The guest, as far as it is known, for the processes in it.
    pub(super) guest: Known,
    /// The trace of its boot, until the guest has answered.
    pub(super) boot: Option<tracing::Span>,
    /// The guest being given what its pod asks for, before it is told to have answered.
    pub(super) settings: Option<Settings>,
    /// The container's log.
    pub(super) log: LogTask,
    /// When a caller no longer waits for the first answer.
    pub(super) start_wait: Option<Instant>,
    /// When the first answer must have come.
    pub(super) boot_deadline: Option<Instant>,
    /// The end that was asked for.
    pub(super) stop: Option<StopPlan>,
    /// The machine being given back, where it was there before: by one task, which ends with this.
    pub(super) releasing: JoinSet<()>,
    /// Why the daemon itself has ended the machine.
    pub(super) gave_up: Option<GaveUp>,
    /// How often the guest has reset itself, as far as it was handled.
    pub(super) resets: u32,
    /// Whether it boots anew since then, and has not answered yet.
    pub(super) boots_anew: bool,
    /// How long a guest that boots anew may be silent; none where a reset ends it.
    pub(super) reboot_grace: Option<Duration>,
    /// Until when a guest that shuts down to boot anew, or does so, may be silent without that being a failure.
    pub(super) rebooting_until: Option<Instant>,
    /// How the guest was seen not to be the expected one, until it is.
    pub(super) mismatch: Option<String>,
    /// When a link that has given up is told to try again.
    pub(super) try_again: Option<Instant>,
    /// How long that takes.
    pub(super) patience: Backoff,
}

/// How a machine is being stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopPlan {
    /// When the power button is pressed, where it has not been.
    pub(super) power_button: Option<Instant>,
    /// When the machine is forced off.
    pub(super) force: Instant,
    /// Whether the guest was asked, or shall not be.
    pub(super) asked: bool,
}

/// What happened to a live container.
#[derive(Debug)]
pub(super) enum Happened {
    /// The machine changed.
    Machine(MachineState),
    /// The link changed.
    Link(LinkState),
    /// The caller no longer waits.
    StartWaitOver,
    /// The guest has not answered in time.
    BootDeadline,
    /// It is time for the power button.
    PowerButton,
    /// It is time for force.
    Force,
    /// It is time for the link to try again.
    TryAgain,
    /// The guest of this session has what the pod asks for, in the boot that it tells, or cannot.
    Set(Arc<dyn Session>, guests::Result<Option<String>>),
}

impl Live {
    /// Waits for the next thing to happen. Cancellation loses nothing.
    pub(super) async fn next(&mut self) -> Happened {
        let link_change = async {
            match &mut self.link_state {
                Some(state) => changed(state).await,
                None => std::future::pending().await,
            }
        };
        let machine_change = changed(&mut self.machine);
        let set = async {
            match &mut self.settings {
                Some(settings) => settings.done().await,
                None => std::future::pending().await,
            }
        };
        let stop = self.stop;
        tokio::select! {
            biased;
            state = machine_change => Happened::Machine(state),
            state = link_change => Happened::Link(state),
            (session, outcome) = set => Happened::Set(session, outcome),
            () = at(stop.map(|plan| plan.force)) => Happened::Force,
            () = at(stop.and_then(|plan| plan.power_button)) => Happened::PowerButton,
            () = at(self.start_wait) => Happened::StartWaitOver,
            () = at(self.boot_deadline) => Happened::BootDeadline,
            () = at(self.try_again) => Happened::TryAgain,
        }
    }
}

/// The next value that a watch shows, or never where its sender is gone.
async fn changed<T: Clone>(watched: &mut watch::Receiver<T>) -> T {
    match watched.changed().await {
        Ok(()) => watched.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

/// The moment, or never.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl StopPlan {
    /// The guest's own shutdown has the first half of the grace period where it can be asked, then the power button
    /// has the rest; a guest that cannot be asked has the button at once, and is asked as soon as it answers.
    pub(super) fn new(grace: Duration, guest_asked: bool) -> Self {
        let now = Instant::now();
        let patience = if guest_asked { grace / 2 } else { Duration::ZERO };
        Self { power_button: Some(now + patience), force: now + grace, asked: guest_asked }
    }

    /// Force alone, after a while.
    pub(super) fn force_in(wait: Duration) -> Self {
        Self { power_button: None, force: Instant::now() + wait, asked: true }
    }
}
