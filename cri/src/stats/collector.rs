//! Measures whatever runs, while somebody asks.
//!
//! ```text
//!   idle --asked--> round --(soonest)--> wait --asked, or the interval is over--> round
//!     ^                                    |
//!     +---- nobody has asked lately -------+
//! ```
//!
//! Machines and guests have rounds of their own, so that a silent guest holds up no machine's figures. Whoever asks
//! first after a while waits a moment for the machines' first round. A question about one machine waits for that one, but not
//! for long: a guest that needs longer is heard out all the same, for the next question. Nobody else ever waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use machines::Usage;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::known::Known;
use super::measured;
use crate::error::Result;
use crate::pod::{ContainerView, Pods, View};

/// How long after a question measuring goes on.
const LATELY: Duration = Duration::from_secs(60);
/// From one round to the next while nobody asks again.
const INTERVAL: Duration = Duration::from_secs(10);
/// The time that two measurements of one machine, and of one guest, are apart at least.
const MACHINES_SOONEST: Duration = Duration::from_millis(500);
const GUESTS_SOONEST: Duration = Duration::from_secs(8);
/// How many machines, and how many guests, are measured at once.
const MACHINES_AT_ONCE: usize = 16;
const GUESTS_AT_ONCE: usize = 8;
/// How long a guest that told nothing is left alone: many silent ones must not take all places again and again.
const SILENT: Duration = Duration::from_secs(30);
/// How long the first question after a while waits for figures, and one about a single machine.
const FIRST: Duration = Duration::from_millis(300);
const SINGLE: Duration = Duration::from_secs(3);

/// The figures of every machine, kept fresh while somebody asks.
pub struct Collector {
    pods: Arc<Pods>,
    /// By the machine's id.
    known: RwLock<HashMap<String, Known>>,
    asked: watch::Sender<Option<Instant>>,
    /// How many rounds of the machines are over.
    rounds: watch::Sender<u64>,
    machines: Semaphore,
    guests: Semaphore,
}

/// What a round measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Machines,
    Guests,
}

impl Collector {
    /// Starts the rounds, which wait for the first question.
    pub fn start(pods: Arc<Pods>) -> Arc<Self> {
        let collector = Arc::new(Self {
            pods,
            known: RwLock::default(),
            asked: watch::Sender::new(None),
            rounds: watch::Sender::new(0),
            machines: Semaphore::new(MACHINES_AT_ONCE),
            guests: Semaphore::new(GUESTS_AT_ONCE),
        });
        for kind in [Kind::Machines, Kind::Guests] {
            let collector = Arc::clone(&collector);
            tokio::spawn(async move { collector.keep_measuring(kind).await });
        }
        collector
    }

    /// Somebody wants everyone's figures. Returns at once, but for the first question after a while.
    pub async fn ask(&self) {
        let mut rounds = self.rounds.subscribe();
        rounds.mark_unchanged();
        let idle = self.asked.borrow().is_none_or(|last| last.elapsed() > LATELY);
        self.asked.send_replace(Some(Instant::now()));
        if idle {
            let _ = tokio::time::timeout(FIRST, rounds.changed()).await;
        }
    }

    /// Measures one container now, unless that was just done, and waits for it a little.
    pub async fn ask_about(self: &Arc<Self>, view: &View) {
        let Some(container) = measured(view) else { return };
        let both =
            async { tokio::join!(self.measure_machine(view, container), self.measure_guest(container)) };
        let _ = tokio::time::timeout(SINGLE, both).await;
    }

    /// What is known of a pod's machine.
    pub fn known(&self, view: &View) -> Known {
        let machine = measured(view).map(|container| container.record.machine.as_str());
        machine.map(|machine| self.known_of(machine)).unwrap_or_default()
    }

    fn known_of(&self, machine: &str) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(machine).cloned().unwrap_or_default()
    }

    fn learn<T>(&self, machine: &str, learn: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        learn(known.entry(machine.to_owned()).or_default())
    }

    async fn keep_measuring(self: &Arc<Self>, kind: Kind) {
        let soonest = match kind {
            Kind::Machines => MACHINES_SOONEST,
            Kind::Guests => GUESTS_SOONEST,
        };
        let mut asked = self.asked.subscribe();
        loop {
            // The sender lives as long as this.
            let _ = asked.changed().await;
            loop {
                asked.borrow_and_update();
                self.round(kind).await;
                tokio::time::sleep(soonest).await;
                if tokio::time::timeout(INTERVAL.saturating_sub(soonest), asked.changed()).await.is_err()
                    && asked.borrow().is_none_or(|last| last.elapsed() > LATELY)
                {
                    break;
                }
            }
        }
    }

    async fn round(self: &Arc<Self>, kind: Kind) {
        let views = self.pods.views();
        let running = views.iter().filter_map(|view| Some((view, measured(view)?)));
        stream::iter(running)
            .for_each_concurrent(None, |(view, container)| async move {
                match kind {
                    Kind::Machines => self.measure_machine(view, container).await,
                    Kind::Guests => self.measure_guest(container).await,
                }
            })
            .await;
        if kind == Kind::Machines {
            let running: BTreeSet<&str> = views
                .iter()
                .filter_map(|view| measured(view))
                .map(|container| container.record.machine.as_str())
                .collect();
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            // One that was started meanwhile may be asked already.
            known.retain(|machine, known| running.contains(machine.as_str()) || known.is_asked());
            drop(known);
            self.rounds.send_modify(|rounds| *rounds = rounds.wrapping_add(1));
        }
    }

    async fn measure_machine(&self, view: &View, container: &ContainerView) {
        let machine = &container.record.machine;
        let Ok(_place) = self.machines.acquire().await else { return };
        let known = self.known_of(machine.as_str());
        if known.machine.is_some_and(|last| is_newer_than(last.at, MACHINES_SOONEST)) {
            return;
        }
        let measuring = async {
            let provider = self.pods.context().provider(&view.pod.provider)?;
            Ok(provider.usage(machine).await?)
        };
        let measured: Result<Option<Usage>> = measuring.await;
        match measured {
            Ok(Some(usage)) => self.learn(machine.as_str(), |known| known.learn_machine(usage)),
            Ok(None) => {}
            Err(error) => tracing::debug!(%machine, error = error.chain(), "not measured"),
        }
    }

    /// Waits until a guest is measured, unless that was just done. A task does it, which goes on where whoever waits does not;
    /// whoever comes meanwhile waits for the same one.
    async fn measure_guest(self: &Arc<Self>, container: &ContainerView) {
        if container.link.is_none() {
            return;
        }
        let asking = self.learn(container.record.machine.as_str(), |known| {
            if known.is_asked() {
                return known.asking.clone();
            }
            if known.guest.as_ref().is_some_and(|last| is_newer_than(last.at, GUESTS_SOONEST))
                || known.ask_guest_at.is_some_and(|at| Instant::now() < at)
            {
                return None;
            }
            let (asked, asking) = watch::channel(());
            let (collector, container) = (Arc::clone(self), container.clone());
            tokio::spawn(async move {
                collector.ask_guest(&container).await;
                drop(asked);
            });
            known.asking = Some(asking.clone());
            Some(asking)
        });
        if let Some(mut asking) = asking {
            // Nothing is ever sent: this is its end.
            let _ = asking.changed().await;
        }
    }

    /// Asks a guest, which takes as long as [`guests::figures`] lets it.
    async fn ask_guest(&self, container: &ContainerView) {
        let machine = &container.record.machine;
        let Ok(_place) = self.guests.acquire().await else { return };
        // Asked only now: the guest may have gone while this waited.
        let Some(session) = container.link.as_ref().and_then(|link| link.session().ok()) else { return };
        match guests::figures::figures(session.as_ref(), container.family()).await {
            Ok(figures) => self.learn(machine.as_str(), |known| known.learn_guest(figures)),
            Err(error) => {
                tracing::debug!(%machine, %error, "the guest tells no figures");
                self.learn(machine.as_str(), |known| known.ask_guest_at = Some(Instant::now() + SILENT));
            }
        }
    }
}

/// Whether this was less long ago. What lies in the future was told before the clock was set back, and is old.
fn is_newer_than(at: SystemTime, age: Duration) -> bool {
    at.elapsed().is_ok_and(|elapsed| elapsed < age)
}
