//! Kerberos: a ticket of the domain proves to a guest who we are, and its answer proves who the guest is (RFC 4120, 4121).
//!
//! ```text
//!   user and password, or the node's own tickets --tickets--> domain: a ticket for HTTP/NAME --> token
//!   token --under Negotiate or Kerberos--> guest --its own token--> proved --> Sealer (seal)
//! ```
//!
//! By the system's library (MIT's `libgssapi_krb5`), which reads `/etc/krb5.conf`: where domain controllers are, what may be used,
//! and how far clocks may differ is said there, as for every other program of the node.
//!
//! - Happy path: the guest takes the token and answers with its own. Only who has the key that the domain keeps for
//!   `HTTP/NAME` can make that, so without it nothing more is said on the connection.
//! - The token is not wrapped in SPNEGO, under `Negotiate` neither: pywinrm and pypsrp have long sent it to Windows as it is. Nor
//!   would the library tell why it got no ticket, if it had to negotiate.
//! - The guest's name is taken as it stands in the configuration, and never from DNS, which anybody may answer.
//! - On TLS the ticket is bound to the certificate that was shown.
//! - Failures: the domain gives no ticket; the guest does not take it, and mostly does not say why, after which the domain is
//!   asked for a new one ([`trouble`] has the words for both); the guest cannot prove itself ([`Error::WrongIdentity`]).

mod seal;
mod tickets;
mod trouble;

use hyper::StatusCode;
use libgssapi::context::SecurityContext as _;

use super::authenticate::{Context, Login, Stop, token};
use super::dial::Dialled;
use super::options::Security;
use crate::{Error, Secret};
use seal::Sealer;
pub(super) use tickets::Tickets;
use trouble::Trouble;

/// The longest name of a host.
const LONGEST_HOST: usize = 255;

impl Login<'_> {
    /// Logs in by a ticket for the guest, got with the password, or with what the node has where there is none.
    pub(super) async fn by_ticket(
        &self,
        scheme: &'static str,
        password: Option<&Secret>,
        dialled: &mut Dialled,
    ) -> Result<Context, Stop> {
        let service = self.service()?;
        let binding = dialled.certificate.as_ref().map(|(_, told)| told.clone());
        let shown = self.tickets.show(&self.target.user, password, &service, binding.as_deref()).await;
        // The library names the user.
        let told = |why: String| if self.told { why } else { trouble::unnamed(&why) };
        let (mut context, first) = shown.map_err(|trouble| match trouble {
            Trouble::Denied(why) => Stop::No(told(why)),
            Trouble::Failed(why) => self.failed(&format!("no login by Kerberos as {service}: {}", told(why))),
        })?;

        let answer = self.ask(dialled, Some((scheme, &first))).await?;
        let denied = answer.status == StatusCode::UNAUTHORIZED;
        let theirs = token(&answer, scheme);
        let proof = theirs.as_ref().map(|theirs| context.step(Some(theirs), binding.as_deref()).map(drop));
        if denied {
            let why = proof.and_then(Result::err).map_or_else(trouble::unknown, trouble::of_guest);
            // The guest may have another key since: the next attempt is made with a new ticket.
            self.tickets.forget().await;
            return Err(Stop::No(format!("showed a ticket for {service}; {why}")));
        }
        let address = self.target.address;
        match proof {
            None => Err(self.failed(&format!("the guest does not prove that it is {service}"))),
            Some(Err(error)) => Err(Stop::Failed(Error::WrongIdentity(format!(
                "the guest at {address} cannot prove that it is {service} ({}); nothing secret was sent to it",
                trouble::said(error)
            )))),
            Some(Ok(())) if !context.is_complete() => {
                Err(self.failed("the guest wants more of a login by Kerberos than there is"))
            }
            Some(Ok(())) if answer.last => {
                Err(self.failed("the guest ends the connection right after the login"))
            }
            Some(Ok(())) => Ok(match self.security {
                Security::Tls => Context::Plain,
                Security::SealedMessages => {
                    let sealer = Sealer::new(context, scheme).map_err(|why| self.failed(why))?;
                    Context::Sealed(Box::new(sealer))
                }
            }),
        }
    }

    /// What the guest is in its domain.
    fn service(&self) -> Result<String, Stop> {
        let invalid = |why: &str| Stop::Failed(Error::Invalid(format!("{}: {why}", self.target.address)));
        let Some(host) = &self.target.host_name else {
            return Err(invalid(
                "Kerberos knows a guest by its name in the domain: give it as `host-name` (such as app.lab.example)",
            ));
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        if host.is_empty() || host.len() > LONGEST_HOST || !host.chars().all(fits) {
            return Err(invalid(&format!(
                "{host:?} is no name of a host: give `host-name` as the domain has it"
            )));
        }
        if self.target.user.contains('\\') {
            return Err(invalid(
                "Kerberos knows users as name@REALM (such as anna@LAB.EXAMPLE), not as DOMAIN\\name",
            ));
        }
        let realm = self.target.user.rsplit_once('@').map(|(_, realm)| format!("@{realm}"));
        Ok(format!("HTTP/{host}{}", realm.unwrap_or_default()))
    }
}
