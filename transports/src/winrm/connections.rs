//! The connections of one session, and the requests that go over them.
//!
//! ```text
//!   request --an idle one, or a new one--> answered --usable--> idle --the guest ends it--> (looked after)
//!                 `- not sent, not let in: another one        `--> closed
//!                 `- none to be had: not sent; tried on for a command that runs
//!                 `- lost, silent: the session is over
//! ```
//!
//! - Happy path: [`Connections::ask`] takes the connection that was idle last, or makes one. While it waits, nobody else
//!   has it, so requests that wait in the guest for output never delay others.
//! - Requests that wait for output, for input to be taken, and such whose answer comes at once have bounds of their own,
//!   so a command can be ended and a shell deleted however many others wait. Input that goes ahead of its turn has another
//!   one, so it takes no place that the input before it needs.
//! - A request that was not carried out for sure (the idle connection was gone, or its login was forgotten) goes over
//!   a new connection, with a new login. Where there is none to be had, whoever asks is told so; a command that runs
//!   does not end by that, and is asked on until the session is over ([`Connections::receive`],
//!   [`Connections::send`]). A login that was refused is not tried on by all of them ([`refusal`]). One that may have
//!   been carried out is never sent again by itself: the session is over, and says why ([`Connections::gone`]). Only
//!   what can be repeated without harm, the end of commands and shells, is ([`Connections::deliver`]).
//! - Over HTTP anybody can write that a login was forgotten, also over the answer of what was carried out. So what must not
//!   be carried out twice goes over a connection whose login the guest has proved to know a moment before.

mod ask;
mod connect;
mod refusal;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::authenticate::Chosen;
use super::body::Turn;
use super::connection::{Connection, Failure, Reply};
use super::envelope::{self, Envelopes};
use super::fault::Fault;
use super::options::{Security, WinrmOptions};
use super::reply;
use crate::{Error, Identity, Result, Target};
use refusal::Refusal;

/// How long an idle connection is taken to be still there. The guest ends such after 120 s by default.
const IDLE: Duration = Duration::from_secs(60);

/// How long after an answer a login is taken to be known yet, where only what is sealed proves that.
const PROVED: Duration = Duration::from_secs(2);

/// The least that a guest can be set to take in a message.
pub(super) const LEAST_BYTES: usize = 32 * 1024;

/// Why a guest that fell silent is given up.
const SILENT: &str = "the guest gave no sign of life";

/// How long a request may take in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// It is a question for a sign of life, answered at once.
    Nothing,
    /// It is done at once, or as soon as a slow guest can.
    Brief,
    /// It waits for something to happen, as long as a poll lasts.
    Poll,
    /// It waits for a program, however long that takes.
    Program,
    /// The same, in a place that who asks has already ([`Connections::ahead`]).
    Ahead,
}

/// What a connection that is lost under a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The session is over.
    Ends,
    /// It is told to who asked, and may be looked into.
    Told,
    /// The same, and the request may be carried out twice.
    Harmless,
}

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The guest says so.
    Fault(Fault),
    /// Nothing of it was sent, or the guest refused it unread.
    Unsent(Error),
    /// Nobody knows whether it was.
    Error(Error),
}

/// The connections of a session.
pub(super) struct Connections {
    pub(super) options: WinrmOptions,
    target: Target,
    host: HeaderValue,
    url: String,
    /// What the first connection proved, by which the others are pinned.
    identity: Option<Identity>,
    chosen: OnceLock<Chosen>,
    #[cfg(feature = "kerberos")]
    tickets: super::kerberos::Tickets,
    idle: Mutex<Vec<(Connection, Instant)>>,
    brief: Semaphore,
    polls: Semaphore,
    inputs: Semaphore,
    aheads: Arc<Semaphore>,
    /// The longest message that the guest is known to take.
    most_bytes: AtomicUsize,
    settings: OnceCell<()>,
    /// Which of the passwords the guest has taken.
    accepted: AtomicUsize,
    refusal: Refusal,
    heard: Mutex<Instant>,
    gone: watch::Sender<Option<Error>>,
    /// Told when the guest has ended a connection, or none could be made.
    pub(super) doubt: Arc<Notify>,
}

impl Connections {
    /// Makes the first connection, and asks who answers on it.
    pub(super) async fn open(options: &WinrmOptions, target: &Target) -> Result<Self> {
        let address = target.address;
        let scheme = if options.security == Security::Tls { "https" } else { "http" };
        let host = HeaderValue::try_from(address.to_string()).expect("an address is a header's value");
        let mut connections = Self {
            options: options.clone(),
            target: target.clone(),
            host,
            url: format!("{scheme}://{address}/wsman"),
            identity: None,
            chosen: OnceLock::new(),
            #[cfg(feature = "kerberos")]
            tickets: super::kerberos::Tickets::default(),
            idle: Mutex::default(),
            brief: Semaphore::new(options.brief_connections.max(1)),
            polls: Semaphore::new(options.poll_connections.max(1)),
            inputs: Semaphore::new(options.input_connections.max(1)),
            aheads: Arc::new(Semaphore::new(options.ahead_connections)),
            most_bytes: AtomicUsize::new(options.envelope_bytes),
            settings: OnceCell::new(),
            accepted: AtomicUsize::new(0),
            refusal: Refusal::default(),
            heard: Mutex::new(Instant::now()),
            gone: watch::Sender::new(None),
            doubt: Arc::default(),
        };
        let first = connections.connect(true).await?;
        if let Some(certificate) = first.certificate() {
            if !matches!(target.identity, Identity::CertifiedBy { .. }) {
                connections.target.identity = Identity::Pinned(vec![certificate.to_owned()]);
            }
            connections.identity = Some(connections.target.identity.clone());
        }
        connections.keep(first);
        Ok(connections)
    }

    /// What the guest proved to be.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity.clone()
    }

    /// The guest's address, for people.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.target.address
    }

    /// Tells once the session is over, and why.
    pub(super) fn gone(&self) -> watch::Receiver<Option<Error>> {
        self.gone.subscribe()
    }

    /// Ends the session.
    pub(super) fn lose(&self, why: Error) {
        self.gone.send_if_modified(|gone| {
            let first = gone.is_none();
            if first {
                *gone = Some(why);
            }
            first
        });
    }

    /// The session's end, where it has come.
    pub(super) fn over(&self) -> Result<()> {
        self.gone.borrow().clone().map_or(Ok(()), |why| match why {
            Error::Lost(_) => Err(why),
            other => Err(Error::Lost(other.to_string())),
        })
    }

    /// Requests as the guest takes them.
    pub(super) fn envelopes(&self) -> Envelopes {
        Envelopes {
            url: self.url.clone(),
            operation_timeout: self.options.poll_timeout,
            most_bytes: self.most_bytes.load(Ordering::Relaxed),
        }
    }

    /// A place for input that goes ahead of its turn, where one is free.
    pub(super) fn ahead(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.aheads).try_acquire_owned().ok()
    }

    /// When the guest was heard of last.
    pub(super) fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(&self, takes: Takes, message: &str, turn: &Turn, loss: Loss) -> Result<String, Trouble> {
        let places = match takes {
            // It shall not wait for those that may wait in vain.
            Takes::Nothing | Takes::Ahead => None,
            Takes::Brief => Some(&self.brief),
            Takes::Poll => Some(&self.polls),
            Takes::Program => Some(&self.inputs),
        };
        let closed = |_| Trouble::Unsent(Error::Lost("the session was closed".into()));
        let _place = match places {
            Some(places) => Some(places.acquire().await.map_err(closed)?),
            None => None,
        };
        let within = match takes {
            Takes::Nothing => self.options.answer_timeout,
            // The guest itself gives up after the first of them, and says so.
            Takes::Brief | Takes::Poll => self.options.poll_timeout + self.options.answer_timeout,
            // That the guest lives at all is looked after elsewhere.
            Takes::Program | Takes::Ahead => Duration::from_secs(365 * 24 * 3600),
        };
        let mut forgotten = false;
        loop {
            let (mut connection, fresh) = match (!forgotten).then(|| self.take()).flatten() {
                Some((mut connection, heard)) => {
                    let proved = !connection.is_sealed() || heard.elapsed() < PROVED;
                    if loss != Loss::Harmless && !proved && !self.proves(&mut connection).await {
                        forgotten = true;
                        continue;
                    }
                    (connection, false)
                }
                // Boxed: most requests need none.
                None => (Box::pin(self.connect(false)).await.map_err(Trouble::Unsent)?, true),
            };
            match timeout(within, connection.post_in_turn(message, turn)).await {
                Err(_) => {
                    let why = format!("{}: {SILENT} within {within:?}", self.target.address);
                    return Err(self.lost(Error::Unreachable(why), loss));
                }
                Ok(Ok(reply)) => {
                    *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    self.keep(connection);
                    return self.read(reply);
                }
                Ok(Err(Failure::Unsent)) if !fresh => {}
                // The login of this connection is not known any more: another one, with another login.
                Ok(Err(Failure::NotLetIn)) if !fresh => forgotten = true,
                Ok(Err(Failure::Denied)) if !fresh && loss == Loss::Harmless => forgotten = true,
                Ok(Err(Failure::Denied)) => {
                    let address = self.target.address;
                    let why =
                        format!("{address}: its answer is that it knows the login no more, and not sealed");
                    return Err(self.lost(Error::Lost(why), loss));
                }
                Ok(Err(Failure::NotLetIn)) => {
                    let why = format!(
                        "{}: the guest refuses what it has let in a moment before",
                        self.target.address
                    );
                    if !connection.carries_password() {
                        return Err(Trouble::Unsent(Error::Unreachable(why)));
                    }
                    let error = Error::Refused(why);
                    self.refusal.hold(&error);
                    return Err(Trouble::Unsent(error));
                }
                Ok(Err(Failure::Unsent)) => {
                    let why = format!("{}: the guest closed the connection", self.target.address);
                    return Err(Trouble::Unsent(Error::Unreachable(why)));
                }
                Ok(Err(Failure::Lost(why))) => {
                    let why = format!("{}: {why}", self.target.address);
                    return Err(self.lost(Error::Lost(why), loss));
                }
            }
        }
    }

    /// A connection was lost under a request.
    fn lost(&self, error: Error, loss: Loss) -> Trouble {
        if loss == Loss::Ends {
            self.lose(error.clone());
        }
        Trouble::Error(error)
    }

    fn read(&self, reply: Reply) -> Result<String, Trouble> {
        let malformed = |why: String| Trouble::Error(Error::Lost(format!("{}: {why}", self.target.address)));
        match reply.status {
            StatusCode::OK => Ok(reply.body),
            StatusCode::INTERNAL_SERVER_ERROR => {
                Err(Trouble::Fault(reply::fault(&reply.body).map_err(|why| malformed(why.0))?))
            }
            other => Err(malformed(format!("the guest answers with HTTP {}", other.as_u16()))),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was idle last, and since when.
    fn take(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.idle();
        idle.retain(|(connection, since)| connection.usable() && since.elapsed() < IDLE);
        idle.pop()
    }

    /// Whether the guest shows that it knows the login of a connection.
    async fn proves(&self, connection: &mut Connection) -> bool {
        let asked = timeout(self.options.answer_timeout, connection.post(envelope::IDENTIFY)).await;
        matches!(asked, Ok(Ok(_)))
    }

    fn keep(&self, connection: Connection) {
        if connection.usable() {
            self.idle().push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for long.
    pub(super) fn sweep(&self) {
        self.idle().retain(|(connection, since)| connection.usable() && since.elapsed() < IDLE);
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("target", &self.target).finish_non_exhaustive()
    }
}
