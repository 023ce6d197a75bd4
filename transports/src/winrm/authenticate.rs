//! Proves to a guest that we may log in, once for each connection.
//!
//! ```text
//!   HTTPS, HTTP: --first message--> 401 + challenge --last message--> let in      (Negotiate, or NTLM by name)
//!   HTTPS:       the password goes along with each request                        (Basic, where no more is offered)
//! ```
//!
//! - The messages of the handshake carry no request, so nothing is carried out before both sides know each other.
//! - Over HTTP everything after it is sealed; there is no way to send a request otherwise. Basic is never used there,
//!   whatever the guest offers.
//! - What a guest offers is asked once; its further connections begin with what was right then.
//! - A guest that does not accept any password of the target is [`Error::Refused`]: the text names the user and the
//!   methods that were tried, never a secret. Keys prove nothing in this protocol and are passed over.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use super::connection::{Answer, Failure, exchange, request};
use super::dial::Dialled;
use super::ntlm::{Account, Binding, Handshake, Sealer};
use super::options::Security;
use crate::{Credential, Error, Result, Secret, Target};

/// The most bytes of an answer before anybody has logged in.
const ANSWER_BYTES: usize = 64 * 1024;

/// How requests go on a connection that has logged in.
pub(super) enum Context {
    /// Each is sealed.
    Sealed(Box<Sealer>),
    /// As they are: TLS hides them, and the connection remembers who we are.
    Plain,
    /// As they are, each with the password.
    Basic(HeaderValue),
}

/// A way to log in that a guest may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Negotiated, which comes to NTLM here.
    Negotiate,
    /// NTLM by its name.
    Ntlm,
    /// The password as it is, over HTTPS only.
    Basic,
}

impl Method {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Negotiate, Self::Ntlm, Self::Basic];

    fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::Basic => "Basic",
        }
    }
}

/// Why a login has failed.
enum Stop {
    /// By the guest's decision.
    No(String),
    /// The connection is of no use any more: another one is needed for the next attempt.
    Failed(Error),
}

/// A login on its way.
pub(super) struct Login<'a> {
    /// Whom and where, with the credentials as they are now.
    pub(super) target: &'a Target,
    /// Whether the user's name may be told.
    pub(super) told: bool,
    pub(super) security: Security,
    /// The ways to log in that may be used, the best first.
    pub(super) methods: &'a [Method],
    pub(super) host: &'a HeaderValue,
    /// What the guest was seen to offer.
    pub(super) method: &'a OnceLock<Method>,
}

impl Login<'_> {
    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.target.credentials.iter().filter_map(|credential| match credential {
            Credential::Password(password) => Some(password),
            Credential::Key(_) | Credential::Kept(_) => None,
        })
    }

    /// How many passwords there are.
    pub(super) fn passwords(&self) -> usize {
        self.secrets().count()
    }

    /// Logs in with one of the passwords.
    pub(super) async fn with(&self, number: usize, dialled: &mut Dialled) -> Result<Context> {
        let password = self.secrets().nth(number).ok_or_else(|| self.refused("no such password"))?;
        self.log_in(password, dialled).await.map_err(|stop| match stop {
            Stop::No(why) => self.refused(&why),
            Stop::Failed(error) => error,
        })
    }

    /// That the guest lets the user in by none of the credentials.
    pub(super) fn refused(&self, why: &str) -> Error {
        let whom = if self.told { format!("user {}", self.target.user) } else { "its user".to_owned() };
        Error::Refused(format!("{}: permission denied ({why}) for {whom}", self.target.address))
    }

    async fn log_in(&self, password: &Secret, dialled: &mut Dialled) -> Result<Context, Stop> {
        let method = match self.method.get() {
            Some(&method) => method,
            None => self.choose(&self.offers(dialled).await?)?,
        };
        match method {
            Method::Basic => {
                let pair = format!("{}:{}", self.target.user, password.expose());
                let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                    .map_err(|_| self.failed("the password cannot be sent"))?;
                header.set_sensitive(true);
                Ok(Context::Basic(header))
            }
            Method::Negotiate | Method::Ntlm => self.handshake(method, password, dialled).await,
        }
    }

    /// The best of what the guest offers.
    fn choose(&self, offered: &[String]) -> Result<Method, Stop> {
        let basic = self.security == Security::Tls;
        let mut taken = self.methods.iter().copied().filter(|&method| method != Method::Basic || basic);
        let is_offered =
            |method: &Method| offered.iter().any(|offer| offer.eq_ignore_ascii_case(method.name()));
        let Some(best) = taken.clone().find(is_offered) else {
            let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            let address = self.target.address;
            let why = match taken.next() {
                None => format!("{address}: Basic shows the password, so it is used over HTTPS only"),
                Some(first) => {
                    let taken = taken.fold(first.name().to_owned(), |names, next| names + ", " + next.name());
                    format!(
                        "{address}: the guest offers none of {taken} for logging in, only {offered}: enable one (winrm set \
                         winrm/config/service/auth)"
                    )
                }
            };
            return Err(Stop::Failed(Error::Forbidden(why)));
        };
        Ok(*self.method.get_or_init(|| best))
    }

    /// What the guest offers, told to who is not known.
    async fn offers(&self, dialled: &mut Dialled) -> Result<Vec<String>, Stop> {
        let answer = self.ask(dialled, None).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Err(self.failed(&format!(
                "what answers there is no WinRM that asks for a login (HTTP {})",
                answer.status.as_u16()
            )));
        }
        let headers = answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let names = headers.filter_map(|value| value.split_whitespace().next());
        let clean = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        Ok(names.map(clean).take(10).collect())
    }

    async fn handshake(
        &self,
        method: Method,
        password: &Secret,
        dialled: &mut Dialled,
    ) -> Result<Context, Stop> {
        let handshake = Handshake::new();
        let answer = self.ask(dialled, Some((method, handshake.negotiate()))).await?;
        let challenge = challenge(&answer, method)
            .ok_or_else(|| self.failed(&format!("no {} challenge came back", method.name())))?;
        let (domain, user) = account(&self.target.user);
        let account = Account { domain, user, password: password.expose() };
        let binding = Binding {
            service: format!("HTTP/{}", self.target.address.ip()),
            channel: dialled.certificate.as_ref().map(|(_, binding)| *binding),
        };
        let (last, sealer) = handshake
            .authenticate(&challenge, &account, &binding)
            .map_err(|why| self.failed(&format!("the login by {} failed: {why}", method.name())))?;
        let answer = self.ask(dialled, Some((method, &last))).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Stop::No(format!("tried the password by {}", method.name())));
        }
        if answer.last {
            return Err(self.failed("the guest ends the connection right after the login"));
        }
        Ok(match self.security {
            Security::Tls => Context::Plain,
            Security::SealedMessages => Context::Sealed(Box::new(sealer)),
        })
    }

    /// A request without a message, with what is to be said of the login.
    async fn ask(&self, dialled: &mut Dialled, token: Option<(Method, &[u8])>) -> Result<Answer, Stop> {
        let mut request = request(self.host, "application/soap+xml;charset=UTF-8", Bytes::new().into());
        if let Some((method, token)) = token {
            let value = format!("{} {}", method.name(), STANDARD.encode(token));
            let mut value =
                HeaderValue::try_from(value).map_err(|_| self.failed("the login cannot be sent"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        exchange(dialled, request, ANSWER_BYTES).await.map_err(|failure| match failure {
            Failure::Lost(why) => self.failed(&format!("{why} during authentication")),
            Failure::Unsent | Failure::NotLetIn | Failure::Denied => {
                self.failed("the guest closed the connection during authentication")
            }
        })
    }

    fn failed(&self, why: &str) -> Stop {
        Stop::Failed(Error::Unreachable(format!("{}: {why}", self.target.address)))
    }
}

/// The token that the guest answered with.
fn challenge(answer: &Answer, method: Method) -> Option<Vec<u8>> {
    answer.headers.get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
        let (name, token) = value.to_str().ok()?.split_once(' ')?;
        if !name.eq_ignore_ascii_case(method.name()) {
            return None;
        }
        STANDARD.decode(token.trim()).ok()
    })
}

/// The domain and the name of a user: `DOMAIN\name`, or `name` (also `name@domain`, which the guest takes apart).
fn account(user: &str) -> (&str, &str) {
    user.split_once('\\').unwrap_or(("", user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_may_have_a_domain() {
        assert_eq!(account("Administrator"), ("", "Administrator"));
        assert_eq!(account("LAB\\anna"), ("LAB", "anna"));
        assert_eq!(account("anna@lab.example"), ("", "anna@lab.example"));
    }
}
