//! The protocol by which a guest is reached, and what it proves itself by in that: the one place which knows the protocols.
//!
//! ```text
//!   facts of the image, or of the fleet's entry --Protocol::of--> Protocol --> transport, port, pinned identity
//! ```
//!
//! Whoever has the transport does not ask which one it is. Failure paths: words that do not exist, facts of one protocol
//! beside those of another, and a credential that the protocol does not take are refused when a machine is made, each by its
//! name; a file with authorities that cannot be read, when the guest is reached.

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use images::{Credential, Facts, Os, Transport as Named};
use machines::fleet::{Entry, Os as EntryOs, Protocol as EntryProtocol};
use transports::winrm::{Method, Security};
use transports::{Identity, Interpreter, Ssh, SshOptions, Transport, Winrm, WinrmOptions};

use crate::error::{Error, Result};

/// The port of SSH.
const SSH_PORT: u16 = 22;
/// The ports of `WinRM` over HTTPS and over HTTP.
const WINRM_PORTS: [u16; 2] = [5986, 5985];
/// The longest file with authorities, in bytes.
const LONGEST_AUTHORITY: u64 = 1 << 20;

/// How a guest is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// SSH.
    Ssh(Interpreter),
    /// `WinRM`, by all methods where none is named.
    Winrm(Security, Option<Method>, Interpreter),
}

impl Protocol {
    /// What the facts say, where they go together.
    pub(crate) fn of(facts: &Facts) -> Result<Self> {
        let protocol = Self::named(facts).map_err(Error::Invalid)?;
        match protocol.misfit(facts) {
            Some(why) => Err(Error::invalid(format!("the image's facts do not go together: {why}"))),
            None => Ok(protocol),
        }
    }

    /// What the facts say, each by itself.
    pub(super) fn named(facts: &Facts) -> Result<Self, String> {
        let http = match facts.scheme.as_deref() {
            None => facts.port == Some(WINRM_PORTS[1]),
            Some("http") => true,
            Some("https") => false,
            Some(other) => return Err(format!("the image's scheme {other:?} is none of: https, http")),
        };
        let method = match facts.authentication.as_deref() {
            None => None,
            Some("negotiate") => Some(Method::Negotiate),
            Some("ntlm") => Some(Method::Ntlm),
            Some("credssp") => Some(Method::CredSsp),
            Some("basic") => Some(Method::Basic),
            Some("kerberos") => Some(Method::Kerberos),
            Some(other) => {
                return Err(format!(
                    "the image's authentication {other:?} is none of: negotiate, ntlm, credssp, basic, kerberos"
                ));
            }
        };
        if let Some(why) = method.and_then(Method::missing) {
            return Err(format!("the image's authentication cannot be used: {why}"));
        }
        let interpreter = match facts.os.unwrap_or_default() {
            Os::Windows => Interpreter::Cmd,
            Os::Linux => Interpreter::None,
        };
        Ok(match facts.transport.unwrap_or_default() {
            Named::Ssh => Self::Ssh(interpreter),
            Named::Winrm if http => Self::Winrm(Security::SealedMessages, method, interpreter),
            Named::Winrm => Self::Winrm(Security::Tls, method, interpreter),
        })
    }

    /// What of the facts means nothing in this protocol, and what to do.
    fn misfit(self, facts: &Facts) -> Option<&'static str> {
        let key = matches!(facts.credential, Some(Credential::KeyFile(_)));
        let tickets = facts.credential == Some(Credential::Tickets);
        let kerberos = matches!(self, Self::Winrm(_, Some(Method::Kerberos), _));
        let authority = facts.certificate_authority.is_some();
        let certified = !facts.certificates.is_empty() || authority || facts.certificate_name.is_some();
        let worded = facts.scheme.is_some() || facts.authentication.is_some();
        Some(match self {
            Self::Ssh(_) if certified || worded => {
                "`scheme`, `authentication` and certificates mean nothing over SSH; set `transport` to winrm, or remove them"
            }
            Self::Winrm(..) if !facts.host_keys.is_empty() || !facts.legacy_algorithms.is_empty() => {
                "`host-keys` and `legacy-algorithms` mean nothing over WinRM; give `certificates`, and remove them"
            }
            _ if tickets && !kerberos => {
                "tickets are what Kerberos takes; set `authentication` to kerberos over WinRM, or give another credential"
            }
            _ if facts.host_name.is_some() && !kerberos => {
                "`host-name` is what Kerberos knows a guest by; set `authentication` to kerberos over WinRM, or remove it"
            }
            Self::Winrm(..) if kerberos && facts.host_name.is_none() => {
                "Kerberos knows a guest by its name in the domain; give that as `host-name`"
            }
            Self::Winrm(..) if key => "WinRM takes no keys; give a `password-file` as the credential",
            Self::Winrm(Security::SealedMessages, ..) if certified => {
                "over HTTP a guest shows no certificate; reach it over HTTPS, or remove the certificates"
            }
            Self::Winrm(Security::SealedMessages, Some(Method::Basic), _) => {
                "over HTTP `basic` would show the password; reach the guest over HTTPS, or take `negotiate`"
            }
            Self::Winrm(..) if authority && !facts.certificates.is_empty() => {
                "`certificates` pin the guest already; remove them, or the `certificate-authority`"
            }
            Self::Winrm(..) if facts.certificate_name.is_some() && !authority => {
                "`certificate-name` is what a `certificate-authority` vouches for; give that, too"
            }
            Self::Ssh(_) | Self::Winrm(..) => return None,
        })
    }

    /// What carries sessions.
    pub(crate) fn transport(self) -> Arc<dyn Transport> {
        match self {
            Self::Ssh(interpreter) => Arc::new(Ssh::new(SshOptions { interpreter, ..SshOptions::default() })),
            Self::Winrm(security, method, interpreter) => {
                let methods = method.map_or_else(|| Method::USUAL.to_vec(), |method| vec![method]);
                Arc::new(Winrm::new(WinrmOptions {
                    security,
                    methods,
                    interpreter,
                    ..WinrmOptions::default()
                }))
            }
        }
    }

    /// The port that the guest listens on.
    pub(crate) fn port(self, facts: &Facts) -> u16 {
        facts.port.unwrap_or(match self {
            Self::Ssh(_) => SSH_PORT,
            Self::Winrm(Security::Tls, ..) => WINRM_PORTS[0],
            Self::Winrm(Security::SealedMessages, ..) => WINRM_PORTS[1],
        })
    }

    /// Whether the keys that a seed brings into a guest are those of this protocol.
    pub(super) fn has_keys(self) -> bool {
        matches!(self, Self::Ssh(_))
    }

    /// Whether a guest shows what it is before anybody logs in.
    pub(crate) fn shows_itself(self) -> bool {
        !matches!(self, Self::Winrm(Security::SealedMessages, ..))
    }

    /// Whether nothing is shown that could be pinned, and the login proves all the same which guest it is: the domain says whose
    /// ticket `host-name` can answer.
    fn proves_itself_by_a_ticket(self) -> bool {
        matches!(self, Self::Winrm(Security::SealedMessages, Some(Method::Kerberos), _))
    }

    /// Whether the facts pin what the guest has to prove.
    pub(crate) fn is_pinned(self, facts: &Facts) -> bool {
        match self {
            Self::Ssh(_) => !facts.host_keys.is_empty(),
            Self::Winrm(..) if self.proves_itself_by_a_ticket() => true,
            Self::Winrm(..) => !facts.certificates.is_empty() || facts.certificate_authority.is_some(),
        }
    }

    /// What the guest at this address has to prove, where the facts pin that.
    pub(crate) fn pinned(self, facts: &Facts, address: IpAddr) -> Result<Option<Identity>> {
        let pins = match self {
            Self::Ssh(_) => &facts.host_keys,
            Self::Winrm(..) => &facts.certificates,
        };
        if !pins.is_empty() {
            return Ok(Some(Identity::Pinned(pins.clone())));
        }
        if self.proves_itself_by_a_ticket() {
            return Ok(Some(Identity::TrustOnFirstUse));
        }
        let Some(authority) = &facts.certificate_authority else { return Ok(None) };
        let name = facts.certificate_name.clone().unwrap_or_else(|| address.to_string());
        Ok(Some(Identity::CertifiedBy { authority: read(authority)?, name }))
    }

    /// An identity that no guest has, by which one that shows itself tells what it has, and is sent nothing.
    pub(crate) fn nobody(self) -> Identity {
        let hash = match self {
            Self::Ssh(_) => "A".repeat(43),
            Self::Winrm(..) => "0".repeat(64),
        };
        Identity::Pinned(vec![format!("SHA256:{hash}")])
    }

    /// What a guest shows of itself, for people.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Ssh(_) => "key",
            Self::Winrm(..) => "certificate",
        }
    }

    /// The fact that pins what a guest shows.
    pub(crate) fn pin(self) -> &'static str {
        match self {
            Self::Ssh(_) => "`host-keys`",
            Self::Winrm(..) => "`certificates`",
        }
    }

    /// What to do where nothing is known that a guest could prove itself by.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Ssh(_) => "give its `host-keys`",
            Self::Winrm(Security::Tls, ..) => "give its `certificates` or its `certificate-authority`",
            Self::Winrm(Security::SealedMessages, ..) => {
                "reach it over HTTPS, for over HTTP it shows nothing"
            }
        }
    }
}

/// The system that an entry of a fleet names, as it is named of an image.
pub(crate) fn os_of_entry(entry: &Entry) -> Os {
    match entry.os {
        EntryOs::Linux => Os::Linux,
        EntryOs::Windows => Os::Windows,
    }
}

/// The protocol that an entry of a fleet names, as it is named of an image.
pub(crate) fn of_entry(entry: &Entry) -> Named {
    match entry.transport {
        EntryProtocol::Ssh => Named::Ssh,
        EntryProtocol::Winrm => Named::Winrm,
    }
}

fn read(authority: &Path) -> Result<String> {
    let mut text = String::new();
    std::fs::File::open(authority)
        .and_then(|file| file.take(LONGEST_AUTHORITY).read_to_string(&mut text))
        .map_err(|source| {
            Error::failed(format!("cannot read the certificate authority {}", authority.display()), source)
        })?;
    Ok(text)
}
