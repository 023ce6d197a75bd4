//! Starting a process: its volumes are put where it finds them, then the guest is told, once.
//!
//! Failure paths: a session that is lost is tried again, for as long as it takes. A guest that is there and does not take the
//! volumes is asked a few times, then the start has failed. Who is stopped before the guest was told has never begun.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guests::process::{Guest, Identity, ProcessState};
use transports::Session;

use super::{ASK, Done, Task};

/// How long a guest may take to start a process.
const START: Duration = Duration::from_secs(90);
/// How often a guest that is there may fail to take the volumes, each of which has its own time.
const GIVES: u32 = 4;

impl Task {
    /// Starts the process where its volumes are, or finds that an earlier try did. One that is stopped meanwhile is only looked for.
    pub(super) async fn start(
        &mut self,
        guest: &Arc<dyn Guest>,
        session: &Arc<dyn Session>,
    ) -> Done<guests::Result<(SystemTime, Option<Identity>)>> {
        if self.stop.is_none()
            && let Err(error) = done!(self.give(guest, session).await)
        {
            return Done::With(Err(error));
        }
        let stopped = self.stop.is_some();
        self.tried |= !stopped;
        let (to, session, spec) = (guest.clone(), session.clone(), self.spec.clone());
        let started = self.within(START, async move {
            if stopped {
                return to.state(session.as_ref(), &spec.id).await;
            }
            to.start(session.as_ref(), &spec).await
        });
        let started = done!(started.await);
        // What was sent while it was being started may have met nobody.
        if !stopped && let Some((kill_at, _)) = self.stop.take() {
            self.begin_to_stop(kill_at);
        }
        Done::With(match started {
            Ok(ProcessState::Absent) if stopped => return Done::NeverBegan,
            Ok(ProcessState::Running { started_at, identity, .. }) => Ok((started_at, identity)),
            Ok(ProcessState::Exited(exit)) => Ok((exit.at, None)),
            Ok(ProcessState::Absent) => {
                Err(guests::Error::Ended("the guest forgot the process at once".into()))
            }
            Err(error) => Err(error),
        })
    }

    /// Has the guest hold the volumes. One that cannot, again and again, is no place for the process, unless the process can be
    /// without them, or runs already: it has found them then.
    async fn give(&mut self, guest: &Arc<dyn Guest>, session: &Arc<dyn Session>) -> Done<guests::Result<()>> {
        let last = self.not_taken + 1 == GIVES;
        let (volumes, to) = (self.volumes.clone(), session.clone());
        let given = self.attend(async move {
            if last { volumes.give_needed(to.as_ref()).await } else { volumes.give(to.as_ref()).await }
        });
        let Err(error) = done!(given.await) else {
            self.not_taken = 0;
            return Done::With(Ok(()));
        };
        if matches!(&error, guests::Error::Session(error) if !matches!(error, transports::Error::TimedOut(_)))
        {
            return Done::With(Err(error));
        }
        tracing::warn!(container = self.container, %error, "its guest has not taken the volumes");
        self.not_taken += 1;
        if self.not_taken < GIVES || !error.retryable() {
            return Done::With(Err(error));
        }
        let (guest, session, id) = (guest.clone(), session.clone(), self.spec.id.clone());
        let state = self.within(ASK, async move { guest.state(session.as_ref(), &id).await });
        Done::With(match done!(state.await) {
            Ok(ProcessState::Running { .. } | ProcessState::Exited(_)) => Ok(()),
            _ => Err(guests::Error::Unsupported(error.to_string())),
        })
    }
}
