//! Proves to a guest that we may log in, once for each connection.
//!
//! ```text
//!   HTTPS, HTTP: --first message--> 401 + challenge --last message--> let in      (Negotiate, or NTLM by name)
//!   HTTPS, HTTP: --a ticket--> let in, with the guest's own proof                 (Kerberos, in a module of its own)
//!   HTTPS:       the password goes along with each request                        (Basic, where no more is offered)
//!   HTTPS, HTTP: --TLS, NTLM in it, the password--> let in                        (CredSSP, only where it is asked for)
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

use super::binding;
use super::connection::{Answer, Failure, exchange, request};
use super::dial::Dialled;
use super::encrypted::Seal;
use super::ntlm::{Account, Binding, Handshake};
use super::options::Security;
use crate::{Credential, Error, Result, Secret, Target};

/// The most bytes of an answer before anybody has logged in.
const ANSWER_BYTES: usize = 64 * 1024;

/// How requests go on a connection that has logged in.
pub(super) enum Context {
    /// Each is sealed.
    Sealed(Box<dyn Seal>),
    /// The same, by a TLS session of `CredSSP`.
    #[cfg(feature = "credssp")]
    SealedByTls(Box<super::credssp::Tls>),
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
    /// The password handed over, once the guest has proved that it knows it.
    CredSsp,
    /// The password as it is, over HTTPS only.
    Basic,
    /// A ticket of the domain, for the guest's name in it.
    Kerberos,
}

impl Method {
    /// Those that may be used where none is named, the best first. Kerberos is only used by its name, for it needs the guest's;
    /// `CredSSP`, for the guest has the password then.
    pub const USUAL: [Self; 3] = [Self::Negotiate, Self::Ntlm, Self::Basic];

    fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::CredSsp => "CredSSP",
            Self::Basic => "Basic",
            Self::Kerberos => "Kerberos",
        }
    }

    /// The words by which a guest may offer it, the best first. Windows offers Kerberos by both, and people's clients take the
    /// first.
    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Negotiate => &["Negotiate"],
            Self::Ntlm => &["NTLM"],
            Self::CredSsp => &["CredSSP"],
            Self::Basic => &["Basic"],
            Self::Kerberos => &["Negotiate", "Kerberos"],
        }
    }

    /// Why it cannot be used, and what to do, where this program was built without it.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Kerberos if !cfg!(feature = "kerberos") => Some(
                "this program was built without Kerberos: build it with `--features kerberos`, or let the guest take NTLM \
                 (`negotiate`)",
            ),
            Self::CredSsp if !cfg!(feature = "credssp") => Some(
                "this program was built without CredSSP: build it with `--features credssp`, or let the guest take NTLM \
                 (`negotiate`)",
            ),
            Self::Negotiate | Self::Ntlm | Self::CredSsp | Self::Basic | Self::Kerberos => None,
        }
    }
}

/// What was chosen of what a guest offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    method: Method,
    /// The guest's word for it.
    scheme: &'static str,
}

/// Why a login has failed.
pub(super) enum Stop {
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
    /// What was chosen of what the guest was seen to offer.
    pub(super) chosen: &'a OnceLock<Chosen>,
    /// What the domain has given for earlier logins.
    #[cfg(feature = "kerberos")]
    pub(super) tickets: &'a super::kerberos::Tickets,
}

impl Login<'_> {
    /// The passwords; none stands for the node's own tickets.
    fn proofs(&self) -> impl Iterator<Item = Option<&Secret>> {
        self.target.credentials.iter().filter_map(|credential| match credential {
            Credential::Password(password) => Some(Some(password)),
            Credential::Tickets if self.methods.contains(&Method::Kerberos) => Some(None),
            Credential::Tickets | Credential::Key(_) | Credential::Kept(_) => None,
        })
    }

    /// How many passwords there are to be tried, or tickets instead of one.
    pub(super) fn attempts(&self) -> usize {
        self.proofs().count()
    }

    /// Logs in with one of them.
    pub(super) async fn with(&self, number: usize, dialled: &mut Dialled) -> Result<Context> {
        self.log_in(self.proofs().nth(number).flatten(), dialled).await.map_err(|stop| match stop {
            Stop::No(why) => self.refused(&why),
            Stop::Failed(error) => error,
        })
    }

    /// That the guest lets the user in by none of the credentials.
    pub(super) fn refused(&self, why: &str) -> Error {
        let whom = if self.told { format!("user {}", self.target.user) } else { "its user".to_owned() };
        Error::Refused(format!("{}: permission denied ({why}) for {whom}", self.target.address))
    }

    async fn log_in(&self, password: Option<&Secret>, dialled: &mut Dialled) -> Result<Context, Stop> {
        if let Some(why) = self.methods.iter().find_map(|method| method.missing()) {
            return Err(Stop::Failed(Error::Invalid(format!("{}: {why}", self.target.address))));
        }
        let chosen = match self.chosen.get() {
            Some(&chosen) => chosen,
            None => self.choose(&self.offers(dialled).await?)?,
        };
        let method = chosen.method;
        #[cfg(feature = "kerberos")]
        if method == Method::Kerberos {
            return self.by_ticket(chosen.scheme, password, dialled).await;
        }
        let Some(password) = password else {
            return Err(Stop::No(format!("{} needs a password", method.name())));
        };
        #[cfg(feature = "credssp")]
        if method == Method::CredSsp {
            return self.hand_over(password, dialled).await;
        }
        match method {
            Method::Kerberos | Method::CredSsp => {
                unreachable!("a program that was built without it has refused it")
            }
            Method::Basic => {
                let pair = format!("{}:{}", self.target.user, password.expose());
                let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                    .map_err(|_| self.failed("the password cannot be sent"))?;
                header.set_sensitive(true);
                Ok(Context::Basic(header))
            }
            Method::Negotiate | Method::Ntlm => self.handshake(chosen.scheme, password, dialled).await,
        }
    }

    /// The best of what the guest offers.
    fn choose(&self, offered: &[String]) -> Result<Chosen, Stop> {
        let basic = self.security == Security::Tls;
        let mut taken = self.methods.iter().copied().filter(|&method| method != Method::Basic || basic);
        let is_offered = |scheme: &&str| offered.iter().any(|offer| offer.eq_ignore_ascii_case(scheme));
        let as_offered = |method: Method| {
            let scheme = method.schemes().iter().copied().find(is_offered)?;
            Some(Chosen { method, scheme })
        };
        let Some(best) = taken.clone().find_map(as_offered) else {
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
        Ok(*self.chosen.get_or_init(|| best))
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
        scheme: &str,
        password: &Secret,
        dialled: &mut Dialled,
    ) -> Result<Context, Stop> {
        let handshake = Handshake::new();
        let answer = self.ask(dialled, Some((scheme, handshake.negotiate()))).await?;
        let challenge =
            token(&answer, scheme).ok_or_else(|| self.failed(&format!("no {scheme} challenge came back")))?;
        let (domain, user) = account(&self.target.user);
        let account = Account { domain, user, password: password.expose() };
        let binding = Binding {
            service: format!("HTTP/{}", self.target.address.ip()),
            channel: dialled.certificate.as_ref().map(|(_, told)| binding::hash(told)),
        };
        let (last, sealer) = handshake
            .authenticate(&challenge, &account, &binding)
            .map_err(|why| self.failed(&format!("the login by {scheme} failed: {why}")))?;
        let answer = self.ask(dialled, Some((scheme, &last))).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Stop::No(format!("tried the password by {scheme}")));
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
    pub(super) async fn ask(
        &self,
        dialled: &mut Dialled,
        token: Option<(&str, &[u8])>,
    ) -> Result<Answer, Stop> {
        let mut request = request(self.host, "application/soap+xml;charset=UTF-8", Bytes::new().into());
        if let Some((scheme, token)) = token {
            let value = format!("{scheme} {}", STANDARD.encode(token));
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

    pub(super) fn failed(&self, why: &str) -> Stop {
        Stop::Failed(Error::Unreachable(format!("{}: {why}", self.target.address)))
    }
}

/// The token that the guest answered with.
pub(super) fn token(answer: &Answer, scheme: &str) -> Option<Vec<u8>> {
    answer.headers.get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
        let (name, token) = value.to_str().ok()?.split_once(' ')?;
        if !name.eq_ignore_ascii_case(scheme) {
            return None;
        }
        STANDARD.decode(token.trim()).ok()
    })
}

/// The domain and the name of a user: `DOMAIN\name`, or `name` (also `name@domain`, which the guest takes apart).
pub(super) fn account(user: &str) -> (&str, &str) {
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
