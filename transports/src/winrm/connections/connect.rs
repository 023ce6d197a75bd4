//! Making one connection: dialled, logged in, and the first of a session asked who answers there.
//!
//! - Happy path: the password that was taken before, or the first, is taken.
//! - It is not: the next one, over a new connection, and after the last the first. When each was tried the guest's refusal is
//!   the error. There may be fewer than there were: who keeps them may have changed them.
//! - What answers there is no `WinRM`: told in these words.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, timeout};

use super::super::authenticate::Login;
use super::super::connection::{Connection, Failure, Reply};
use super::super::{dial, envelope, reply};
use super::Connections;
use crate::{Error, Result};

/// How versions say who they are that take shorter messages by default (those of Windows Server 2008 and 2008 R2).
const OLD: [&str; 2] = ["Stack: 1.", "Stack: 2."];

/// The longest message that these take.
const OLD_BYTES: usize = 150 * 1024;

/// How long TCP may take to a guest that is known to be there: its first two packets may be lost, which are sent anew
/// after one second and after three.
const FURTHER_TCP: Duration = Duration::from_millis(3500);

impl Connections {
    /// A new connection, by whichever of the passwords the guest takes.
    pub(super) async fn connect(&self, first: bool) -> Result<Connection> {
        if first {
            return self.connect_in_time(true, true).await;
        }
        self.refusal.check()?;
        if !self.refusal.in_doubt() {
            let connected = self.connect_in_time(false, false).await;
            if !matches!(connected, Err(Error::Refused(_))) {
                return connected;
            }
        }
        let _alone = self.refusal.alone().await;
        // Another one may have tried meanwhile.
        self.refusal.check()?;
        let connected = self.connect_in_time(false, true).await;
        match &connected {
            Ok(_) => self.refusal.lift(),
            Err(error @ Error::Refused(_)) => self.refusal.hold(error),
            Err(_) => {}
        }
        connected
    }

    async fn connect_in_time(&self, first: bool, proved: bool) -> Result<Connection> {
        let limit = self.options.connect_timeout;
        let late = || Error::Unreachable(format!("{}: not connected within {limit:?}", self.target.address));
        timeout(limit, self.log_in(first, proved)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Logs in on a new connection; where that is to be proved, it is seen to carry a request.
    async fn log_in(&self, first: bool, proved: bool) -> Result<Connection> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let tcp_timeout =
            if first { self.options.tcp_timeout } else { FURTHER_TCP.max(self.options.tcp_timeout) };
        let mut denial = None;
        // A further connection begins with the password that was taken: a guest may lock out who fails often.
        let begin = if first { 0 } else { self.accepted.load(Ordering::Relaxed) };
        for attempt in 0.. {
            let mut dialled =
                dial::dial(&self.options, &self.target, tcp_timeout, deadline, &self.doubt).await?;
            // Read as late as can be: the guest has proved who it is.
            let now = self.target.as_of_now().await?;
            // A name that is kept with the credentials is as little to be shown as they are.
            let told = now.user == self.target.user;
            let login = Login {
                target: &now,
                told,
                security: self.options.security,
                methods: &self.options.methods,
                host: &self.host,
                chosen: &self.chosen,
                #[cfg(feature = "kerberos")]
                tickets: &self.tickets,
            };
            let attempts = login.attempts();
            if attempt >= attempts {
                let nothing = "tried nothing: WinRM needs a password";
                return Err(denial.unwrap_or_else(|| login.refused(nothing)));
            }
            let number = (begin + attempt) % attempts;
            let context = match login.with(number, &mut dialled).await {
                Err(error @ Error::Refused(_)) => {
                    denial = Some(error);
                    continue;
                }
                context => context?,
            };
            let mut connection =
                Connection::new(dialled, context, self.host.clone(), self.options.envelope_bytes);
            if !proved {
                self.accepted.store(number, Ordering::Relaxed);
                return Ok(connection);
            }
            match self.identify(&mut connection).await {
                Ok(()) => {
                    self.accepted.store(number, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(Some(error)) => return Err(error),
                Err(None) => denial = Some(login.refused("tried the password by Basic")),
            }
        }
        unreachable!("there are fewer passwords than numbers")
    }

    /// Asks who answers. No error where the guest does not let us in.
    async fn identify(&self, connection: &mut Connection) -> Result<(), Option<Error>> {
        let address = self.target.address;
        let failed = |why: String| Some(Error::Unreachable(format!("{address}: {why}")));
        match connection.post(envelope::IDENTIFY).await {
            Ok(Reply { status: StatusCode::OK, body }) => {
                let who = reply::identity(&body).map_err(|why| failed(why.0))?;
                if OLD.iter().any(|old| who.contains(old)) {
                    self.most_bytes.fetch_min(OLD_BYTES, Ordering::Relaxed);
                }
                tracing::debug!(%address, who, "connected by WinRM");
                Ok(())
            }
            Ok(Reply { status: StatusCode::INTERNAL_SERVER_ERROR, body }) => {
                let said = reply::fault(&body).map_or_else(|why| why.0, |fault| fault.to_string());
                Err(failed(format!("the guest's WinRM says: {said}")))
            }
            Ok(Reply { status, .. }) => {
                Err(failed(format!("what answers there is no WinRM (HTTP {})", status.as_u16())))
            }
            Err(Failure::NotLetIn) => Err(None),
            Err(Failure::Denied) => {
                Err(failed("the guest refuses what it has let in a moment before".into()))
            }
            Err(Failure::Unsent) => Err(failed("the guest closed the connection".into())),
            Err(Failure::Lost(why)) => Err(failed(why)),
        }
    }
}
