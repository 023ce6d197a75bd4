//! Keeps one session to one guest warm, over any transport.
//!
//! ```text
//!              +---- refused, no answer: wait, try again ----+
//!              v                                             |
//!   open --> Connecting --connected--> Ready --session lost--+
//!              |  wrong identity, invalid                 close(), last clone dropped
//!              v                                             v
//!            Failed (until nudged)                        Closed
//! ```
//!
//! One task owns the session. Everything else reads its state, so [`Link::session`] answers at once: a caller that
//! cannot wait learns what was seen last instead.
//!
//! - Happy path: the first attempt that succeeds makes it Ready; when the session is lost it connects again.
//! - A guest that boots is noticed within a few hundred milliseconds: attempts are short and close together for the
//!   first minutes, then further apart.
//! - Refused credentials are tried again, for a guest that boots may not have placed our key yet; but slowly, for a
//!   guest may lock out who fails often (see [`crate::Sparing`]).
//! - What is trusted when it is first seen has to stay the same. Of several pins each holds, so a guest may change from
//!   one to the other.
//! - A wrong identity is final, as is a target that cannot be meant; [`Link::nudge`] makes it look once more.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout_at;

use crate::{Backoff, Error, Identity, Result, Session, Target, Transport};

/// The first wait after a failed attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait while a guest is expected to come up.
const BOOTING_WAIT: Duration = Duration::from_millis(400);
/// How long without a session a guest is expected to come up any moment.
const BOOTING: Duration = Duration::from_secs(5 * 60);
/// The longest wait for a guest that has not answered for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The first wait after refused credentials.
const FIRST_REFUSED_WAIT: Duration = Duration::from_millis(500);
/// The longest wait after refused credentials.
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(15);
/// A session that lived less long is no success from which waits begin anew.
const STABLE: Duration = Duration::from_secs(5);

/// What a link is doing.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// There is no session; attempts go on.
    Connecting {
        /// What was seen last, for people: `10.0.0.7:22: connection refused`.
        last_seen: String,
        /// Since when there is no session.
        since: Instant,
        /// The guest's refusal of the login, if it came so far since there was one.
        refused: Option<String>,
        /// How the one before has ended; none where there never was one.
        ended: Option<Error>,
    },
    /// There is a session.
    Ready(Arc<dyn Session>),
    /// No attempt can help: the guest is another one, or the target cannot be meant.
    Failed(Error),
    /// It was closed.
    Closed,
}

/// A warm session to one guest. Clones share it; dropping the last one closes the session.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Receiver<LinkState>,
    nudged: Arc<Notify>,
    close: watch::Sender<bool>,
}

impl Link {
    /// Starts connecting, in a task of its own that ends with the link. Needs a runtime.
    pub fn open(transport: Arc<dyn Transport>, target: Target) -> Self {
        let (sender, state) = watch::channel(LinkState::Connecting {
            last_seen: "not tried yet".into(),
            since: Instant::now(),
            refused: None,
            ended: None,
        });
        let nudged = Arc::new(Notify::new());
        let (close, closing) = watch::channel(false);
        let keeper = Keeper { transport, target, state: sender, nudged: Arc::clone(&nudged), closing };
        tokio::spawn(keeper.run());
        Self { shared: Arc::new(Shared { state, nudged, close }) }
    }

    /// The state, to be watched.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.clone()
    }

    /// The session, at once. Where there is none: [`Error::Unreachable`] with what was seen last, or why there will be
    /// none.
    pub fn session(&self) -> Result<Arc<dyn Session>> {
        match &*self.shared.state.borrow() {
            LinkState::Ready(session) => Ok(Arc::clone(session)),
            LinkState::Connecting { last_seen, .. } => Err(Error::Unreachable(last_seen.clone())),
            LinkState::Failed(error) => Err(error.clone()),
            LinkState::Closed => Err(Error::Lost("the link was closed".into())),
        }
    }

    /// The guest's refusal of the login, where it lets nobody in.
    pub fn refusal(&self) -> Option<String> {
        match &*self.shared.state.borrow() {
            LinkState::Connecting { refused, .. } => refused.clone(),
            _ => None,
        }
    }

    /// The session, as soon as there is one. At the deadline, or when there will be none, as [`Link::session`].
    pub async fn ready(&self, deadline: tokio::time::Instant) -> Result<Arc<dyn Session>> {
        let mut state = self.state();
        let decided = state.wait_for(|state| !matches!(state, LinkState::Connecting { .. }));
        let _ = timeout_at(deadline, decided).await;
        self.session()
    }

    /// Tries again at once, where it waits between two attempts or has failed for good.
    pub fn nudge(&self) {
        self.shared.nudged.notify_one();
    }

    /// Ends the session and all attempts, for all clones.
    pub fn close(&self) {
        self.shared.close.send_replace(true);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("state", &*self.shared.state.borrow()).finish()
    }
}

/// The task that owns the session.
struct Keeper {
    transport: Arc<dyn Transport>,
    target: Target,
    state: watch::Sender<LinkState>,
    nudged: Arc<Notify>,
    closing: watch::Receiver<bool>,
}

impl Keeper {
    async fn run(mut self) {
        let mut closing = self.closing.clone();
        tokio::select! {
            // Also when the last clone was dropped, and with it the sender.
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.keep() => {}
        }
        self.state.send_replace(LinkState::Closed);
    }

    async fn keep(&mut self) {
        let mut booting = Backoff::new(FIRST_WAIT, BOOTING_WAIT);
        let mut silent = Backoff::new(BOOTING_WAIT, LONGEST_WAIT);
        let mut refused = Backoff::new(FIRST_REFUSED_WAIT, LONGEST_REFUSED_WAIT);
        let mut since = Instant::now();
        let (mut denial, mut ended) = (None, None);
        loop {
            let error = match self.transport.connect(&self.target).await {
                Ok(session) => {
                    if let (Identity::TrustOnFirstUse, Some(identity)) =
                        (&self.target.identity, session.identity())
                    {
                        self.target.identity = identity;
                    }
                    let session: Arc<dyn Session> = Arc::from(session);
                    let connected = Instant::now();
                    denial = None;
                    self.state.send_replace(LinkState::Ready(Arc::clone(&session)));
                    let error = session.closed().await;
                    tracing::debug!(address = %self.target.address, %error, "session lost");
                    since = Instant::now();
                    if connected.elapsed() >= STABLE {
                        booting.reset();
                        silent.reset();
                        refused.reset();
                    }
                    ended = Some(error.clone());
                    error
                }
                Err(error) => error,
            };
            let wait = match &error {
                Error::WrongIdentity(_) | Error::Invalid(_) => None,
                Error::Refused(_) => Some(refused.next_wait()),
                _ if since.elapsed() < BOOTING => Some(booting.next_wait()),
                _ => Some(silent.next_wait()),
            };
            if let Error::Refused(why) = &error {
                denial = Some(why.clone());
            }
            let connecting = |last_seen| LinkState::Connecting {
                last_seen,
                since,
                refused: denial.clone(),
                ended: ended.clone(),
            };
            match wait {
                None => {
                    tracing::warn!(address = %self.target.address, %error, "giving up");
                    self.state.send_replace(LinkState::Failed(error.clone()));
                    self.nudged.notified().await;
                    // Until the next answer that is what was seen last.
                    self.state.send_replace(connecting(error.to_string()));
                }
                Some(wait) => {
                    self.state.send_replace(connecting(error.to_string()));
                    let _ = tokio::time::timeout(wait, self.nudged.notified()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{Command, Credential, Process};

    /// A guest whose sessions are all lost at once, and which shows the first pin of two, then the other.
    #[derive(Debug, Default)]
    struct Changing(Mutex<Vec<Identity>>);

    #[derive(Debug)]
    struct Lost(Identity);

    #[async_trait]
    impl Transport for Changing {
        async fn connect(&self, target: &Target) -> Result<Box<dyn Session>> {
            let mut asked = self.0.lock().unwrap();
            asked.push(target.identity.clone());
            let shown = if asked.len() == 1 { "SHA256:old" } else { "SHA256:new" };
            Ok(Box::new(Lost(Identity::Pinned(vec![shown.into()]))))
        }
    }

    #[async_trait]
    impl Session for Lost {
        async fn exec(&self, _: Command) -> Result<Process> {
            Err(Error::Lost("it runs nothing".into()))
        }

        async fn closed(&self) -> Error {
            Error::Lost("it was restarted".into())
        }

        fn identity(&self) -> Option<Identity> {
            Some(self.0.clone())
        }
    }

    fn target(identity: Identity) -> Target {
        Target {
            address: ([192, 0, 2, 1], 22).into(),
            user: "root".into(),
            host_name: None,
            credentials: vec![Credential::Key("a key".into())],
            identity,
            legacy_algorithms: Vec::new(),
        }
    }

    /// What the guest had to prove when it was connected to for the first time and for the second.
    async fn asked_for(identity: Identity) -> Vec<Identity> {
        let guest = Arc::new(Changing::default());
        let link = Link::open(guest.clone(), target(identity));
        let mut state = link.state();
        while guest.0.lock().unwrap().len() < 2 {
            state.changed().await.unwrap();
        }
        guest.0.lock().unwrap()[..2].to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_several_pins_holds_for_as_long_as_the_link() {
        let both = Identity::Pinned(vec!["SHA256:old".into(), "SHA256:new".into()]);
        assert_eq!(asked_for(both.clone()).await, [both.clone(), both]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_trusted_first_has_to_stay_the_same() {
        let old = Identity::Pinned(vec!["SHA256:old".into()]);
        assert_eq!(asked_for(Identity::TrustOnFirstUse).await, [Identity::TrustOnFirstUse, old]);
    }
    /// A guest that is another one, and then does not answer at all.
    #[derive(Debug, Default)]
    struct Other(Mutex<bool>);

    #[async_trait]
    impl Transport for Other {
        async fn connect(&self, _: &Target) -> Result<Box<dyn Session>> {
            if !std::mem::replace(&mut *self.0.lock().unwrap(), true) {
                return Err(Error::WrongIdentity("it shows another key".into()));
            }
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_stays_until_there_is_another_answer() {
        let link = Link::open(Arc::new(Other::default()), target(Identity::TrustOnFirstUse));
        let mut state = link.state();
        state.wait_for(|state| matches!(state, LinkState::Failed(_))).await.unwrap();
        link.nudge();
        let seen = |state: &LinkState| matches!(state, LinkState::Connecting { last_seen, .. } if last_seen.contains("another key"));
        state.wait_for(seen).await.unwrap();
    }
}
