//! The task of one process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guests::process::{Event, Guest, OutputStream, ProcessExit, ProcessSpec, ProcessState};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use transports::{Backoff, Session};

use super::stopper::Stopper;
use super::{Ask, Known, ProcessConfig, Sessions, Told, What};
use crate::error::Error;
use crate::logs::ProcessLog;
use crate::pod::live::at;
use crate::pod::nanos;
use crate::volume::Volumes;

/// How long a guest may take to begin to tell a process's output, or its state.
const ASK: Duration = Duration::from_secs(60);
/// How old the checkpoint may become while output comes.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How much output may come before the checkpoint is stored: far less than a guest keeps unreleased, or a process that
/// prints fast would wait for the clock.
const CHECKPOINT_BYTES: usize = 1 << 20;
/// How long a process that has ended waits for room for its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);
/// The bounds of the backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The state of a process being followed.
pub(super) struct Task {
    container: String,
    spec: Arc<ProcessSpec>,
    volumes: Arc<Volumes>,
    started: bool,
    sessions: Sessions,
    guest: Known,
    log: ProcessLog,
    start_wait: Option<Instant>,
    told: mpsc::Sender<Box<Told>>,
    asked: mpsc::Receiver<Ask>,
    /// Whether a start was ever sent to the guest.
    tried: bool,
    /// How often the guest was there and did not take the volumes.
    not_taken: u32,
    /// The end that was asked for: when it is killed, and the task that sees to it.
    stop: Option<(watch::Sender<Instant>, Stopping)>,
    /// The machine has ended: until when what came is written.
    finish: Option<Instant>,
    /// When the checkpoint is stored, where there is something new.
    save_at: Option<Instant>,
    /// How many bytes of output came since the checkpoint was last stored.
    unsaved: usize,
}

/// Ends the stopper with the task.
struct Stopping(AbortHandle);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a piece of work ended.
enum Done<T> {
    With(T),
    /// The task ends, whatever the work was: the machine is gone, or the owner is.
    Over,
    /// It was stopped before it could have begun.
    NeverBegan,
}

/// Unwraps finished work; anything else ends the function with it.
macro_rules! done {
    ($done:expr) => {
        match $done {
            Done::With(value) => value,
            Done::Over => return Done::Over,
            Done::NeverBegan => return Done::NeverBegan,
        }
    };
}

mod start;

impl Task {
    pub(super) fn new(
        config: ProcessConfig,
        told: mpsc::Sender<Box<Told>>,
        asked: mpsc::Receiver<Ask>,
    ) -> Self {
        let ProcessConfig { container, spec, volumes, started, tried, sessions, guest, log, start_wait } =
            config;
        Self {
            container,
            spec: Arc::new(spec),
            volumes: Arc::new(volumes),
            started,
            sessions,
            guest,
            log,
            start_wait,
            told,
            asked,
            tried,
            not_taken: 0,
            stop: None,
            finish: None,
            save_at: None,
            unsaved: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let what = match self.live().await {
            Done::With(what) => Some(what),
            Done::NeverBegan => Some(What::NeverBegan),
            Done::Over => None,
        };
        if what.is_some() || self.finish.is_some() {
            self.close().await;
        }
        if let Some(what) = what {
            self.tell(what).await;
        }
    }

    /// From the first session to the end.
    async fn live(&mut self) -> Done<What> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let mut sessions = self.sessions.clone();
            let session = done!(self.attend(async { session(&mut sessions).await }).await);
            match done!(self.once(session).await) {
                Ok(what) => return Done::With(what),
                Err(error) => {
                    tracing::debug!(container = self.container, %error, "the process is out of sight");
                }
            }
            // The session may be gone without its owner knowing yet.
            done!(self.attend(sleep(backoff.next_wait())).await);
        }
    }

    /// As far as one session leads: to the end, or to an error after which a later session is tried.
    async fn once(&mut self, session: Arc<dyn Session>) -> Done<guests::Result<What>> {
        let known = self.guest.clone();
        let asked = session.clone();
        let guest = match done!(self.within(ASK, async move { guest_of(&known, asked.as_ref()).await }).await)
        {
            Ok(guest) => guest,
            Err(error) if !self.started && !error.retryable() => {
                return Done::With(Ok(What::Failed(error.to_string())));
            }
            Err(error) => return Done::With(Err(error)),
        };
        if !self.started {
            match done!(self.start(&guest, &session).await) {
                Ok((since, identity)) => {
                    self.started = true;
                    self.start_wait = None;
                    self.tell(What::Started(nanos(since), identity)).await;
                }
                Err(error) if error.retryable() => return Done::With(Err(error)),
                Err(error) => return Done::With(Ok(What::Failed(error.to_string()))),
            }
        }
        let (id, from) = (self.spec.id.clone(), self.log.offset());
        let (following, over) = (guest.clone(), session.clone());
        let followed = self.within(ASK, async move { following.follow(over, &id, from).await });
        let error = match done!(followed.await) {
            Ok(stream) => match done!(self.drain(stream).await) {
                Ok(exit) => {
                    let (volumes, over) = (self.volumes.clone(), session.clone());
                    let taken = self.within(ASK, async move { volumes.take(over.as_ref()).await });
                    // What cannot be taken away now is when the container is removed. The exit is told, whatever comes between.
                    if let Done::With(Err(error)) = taken.await {
                        tracing::info!(container = self.container, %error, "its volumes are still mounted");
                    }
                    return Done::With(Ok(What::Exited(exit)));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if matches!(error, guests::Error::Session(_)) {
            return Done::With(Err(error));
        }
        // The guest had a word of its own: it may no longer know the process.
        let id = self.spec.id.clone();
        let state = self.within(ASK, async move { guest.state(session.as_ref(), &id).await });
        Done::With(match done!(state.await) {
            Ok(ProcessState::Absent) => Ok(What::Lost("the guest has booted anew, or removed it".into())),
            Ok(ProcessState::Running { .. } | ProcessState::Exited(_)) | Err(_) => Err(error),
        })
    }

    /// Writes its output down until it has ended, or the stream broke.
    async fn drain(&mut self, mut stream: OutputStream) -> Done<guests::Result<ProcessExit>> {
        loop {
            let next = tokio::select! {
                event = stream.next() => Ok(event),
                disturbance = self.disturbance() => Err(disturbance),
            };
            match next {
                Ok(Some(Ok(Event::Output { stream: side, data, next }))) => {
                    if let Err(error) = self.log.feed(SystemTime::now(), side, &data, next) {
                        tracing::warn!(container = self.container, %error, "the container's log waits");
                        done!(self.wait_for_room().await);
                    }
                    self.unsaved += data.len();
                    let save_within =
                        if self.unsaved < CHECKPOINT_BYTES { CHECKPOINT_EVERY } else { Duration::ZERO };
                    let due = Instant::now() + save_within;
                    self.save_at = Some(self.save_at.map_or(due, |earlier| earlier.min(due)));
                }
                Ok(Some(Ok(Event::Exited(exit)))) => return Done::With(Ok(exit)),
                Ok(Some(Err(error))) => return Done::With(Err(error)),
                Ok(None) => {
                    let lost = transports::Error::Lost("the output ended without a word".into());
                    return Done::With(Err(lost.into()));
                }
                Err(Disturbance::Save) => {
                    if let Some(offset) = self.save() {
                        stream.release(&offset);
                    }
                }
                Err(Disturbance::Asked(Some(Ask::Finish(until)))) => self.finish = Some(until),
                Err(disturbance) => done!(self.handle(disturbance).await),
            }
        }
    }

    /// A full disk: what could not be written is tried again until it can.
    async fn wait_for_room(&mut self) -> Done<()> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        while self.log.flush().is_err() {
            done!(self.attend(sleep(backoff.next_wait())).await);
        }
        tracing::info!(container = self.container, "the container's log is written again");
        Done::With(())
    }

    /// Runs work that the guest decides, within a time.
    async fn within<T>(
        &mut self,
        limit: Duration,
        work: impl Future<Output = guests::Result<T>>,
    ) -> Done<guests::Result<T>> {
        let timed_out = transports::Error::TimedOut(limit);
        Done::With(done!(self.attend(timeout(limit, work)).await).unwrap_or_else(|_| Err(timed_out.into())))
    }

    /// Runs work, and serves what disturbs it meanwhile.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Done<T> {
        tokio::pin!(work);
        loop {
            if self.finish.is_some() {
                return Done::Over;
            }
            let disturbance = tokio::select! {
                value = &mut work => return Done::With(value),
                disturbance = self.disturbance() => disturbance,
            };
            done!(self.handle(disturbance).await);
        }
    }

    async fn disturbance(&mut self) -> Disturbance {
        tokio::select! {
            asked = self.asked.recv() => Disturbance::Asked(asked),
            () = at(self.start_wait) => Disturbance::StartWait,
            () = at(self.finish) => Disturbance::FinishOver,
            () = at(self.save_at) => Disturbance::Save,
        }
    }

    async fn handle(&mut self, disturbance: Disturbance) -> Done<()> {
        match disturbance {
            Disturbance::Asked(None) | Disturbance::FinishOver => return Done::Over,
            Disturbance::Asked(Some(Ask::Finish(until))) => self.finish = Some(until),
            Disturbance::Asked(Some(Ask::Reopen(answer))) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.log.reopen().map_err(Error::from));
            }
            Disturbance::Asked(Some(Ask::Stop(grace))) => {
                if !self.started && !self.tried {
                    return Done::NeverBegan;
                }
                self.stop_within(grace);
            }
            Disturbance::StartWait => {
                self.start_wait = None;
                self.tell(What::Waits).await;
            }
            Disturbance::Save => drop(self.save()),
        }
        Done::With(())
    }

    /// Begins to stop the process, or brings the end of its grace period nearer.
    fn stop_within(&mut self, grace: Duration) {
        let kill_at = Instant::now() + grace;
        if let Some((earlier, _)) = &self.stop {
            earlier.send_if_modified(|moment| {
                let nearer = kill_at < *moment;
                *moment = kill_at.min(*moment);
                nearer
            });
            return;
        }
        self.begin_to_stop(watch::channel(kill_at).0);
    }

    /// Has the process asked to stop, and killed in time.
    fn begin_to_stop(&mut self, kill_at: watch::Sender<Instant>) {
        let stopper = Stopper {
            id: self.spec.id.clone(),
            sessions: self.sessions.clone(),
            guest: self.guest.clone(),
            signal: self.spec.stop_signal.clone().unwrap_or_else(|| "TERM".into()),
            kill_at: kill_at.subscribe(),
        };
        self.stop = Some((kill_at, Stopping(tokio::spawn(stopper.run()).abort_handle())));
    }

    /// Stores the checkpoint; answers up to where the guest may forget.
    fn save(&mut self) -> Option<guests::process::Offset> {
        self.save_at = None;
        self.unsaved = 0;
        let saved = self.log.save().inspect_err(|error| {
            tracing::warn!(container = self.container, %error, "the log's place is not kept");
        });
        if saved.is_err() {
            self.save_at = Some(Instant::now() + CHECKPOINT_EVERY);
        }
        saved.ok().flatten()
    }

    /// Writes the last lines, for which a full disk gets a bounded time.
    async fn close(&mut self) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let deadline = Instant::now() + LAST_LINES;
        while let Err(error) = self.log.close(SystemTime::now()) {
            if Instant::now() >= deadline {
                tracing::warn!(container = self.container, %error, "the log has no end");
                return;
            }
            sleep(backoff.next_wait()).await;
        }
    }

    async fn tell(&self, what: What) {
        // The owner may be ending.
        let _ = self.told.send(Box::new(Told { container: self.container.clone(), what })).await;
    }
}

/// What happens beside the work of the moment.
enum Disturbance {
    Asked(Option<Ask>),
    StartWait,
    FinishOver,
    Save,
}

/// The session, as soon as there is one; never where there will be none.
pub(super) async fn session(sessions: &mut Sessions) -> Arc<dyn Session> {
    loop {
        if let Some(session) = sessions.borrow_and_update().clone() {
            return session;
        }
        if sessions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The guest, by how processes are run in it, which is asked for once.
pub(in crate::pod) async fn guest_of(known: &Known, session: &dyn Session) -> guests::Result<Arc<dyn Guest>> {
    let Known { family, guest } = known;
    guest.get_or_try_init(|| guests::process::detect(session, *family)).await.cloned()
}
