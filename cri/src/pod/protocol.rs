//! The protocol by which a guest is reached, and what it proves itself by in that: the one place which knows the protocols.
//!
//! ```text
//!   facts of the image, or of the fleet's entry --Protocol::of--> Protocol --> transport, port, pinned identity
//! ```
//!
//! Whoever has the transport does not ask which one it is. Failure paths: words that do not exist, facts of one protocol
//! beside those of another, and a credential that the protocol does not take are refused when a machine is made, each by its
//! name; a file with authorities that cannot be read, when the guest is reached.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use images::{Credential, Facts, Os, Transport as Named};
use machines::fleet::{Entry, Os as EntryOs, Protocol as EntryProtocol};
use transports::winrm::{Interpreter, Method, Security};
use transports::{Identity, Ssh, Transport, Winrm, WinrmOptions};

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
    Ssh,
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
            Named::Ssh => Self::Ssh,
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
            Self::Ssh if certified || worded => {
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
            Self::Ssh | Self::Winrm(..) => return None,
        })
    }

    /// What carries sessions.
    pub(crate) fn transport(self) -> Arc<dyn Transport> {
        match self {
            Self::Ssh => Arc::new(Ssh::default()),
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
            Self::Ssh => SSH_PORT,
            Self::Winrm(Security::Tls, ..) => WINRM_PORTS[0],
            Self::Winrm(Security::SealedMessages, ..) => WINRM_PORTS[1],
        })
    }

    /// Whether the keys that a seed brings into a guest are those of this protocol.
    pub(super) fn has_keys(self) -> bool {
        self == Self::Ssh
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
            Self::Ssh => !facts.host_keys.is_empty(),
            Self::Winrm(..) if self.proves_itself_by_a_ticket() => true,
            Self::Winrm(..) => !facts.certificates.is_empty() || facts.certificate_authority.is_some(),
        }
    }

    /// What the guest at this address has to prove, where the facts pin that.
    pub(crate) fn pinned(self, facts: &Facts, address: IpAddr) -> Result<Option<Identity>> {
        let pins = match self {
            Self::Ssh => &facts.host_keys,
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
            Self::Ssh => "A".repeat(43),
            Self::Winrm(..) => "0".repeat(64),
        };
        Identity::Pinned(vec![format!("SHA256:{hash}")])
    }

    /// What a guest shows of itself, for people.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Ssh => "key",
            Self::Winrm(..) => "certificate",
        }
    }

    /// The fact that pins what a guest shows.
    pub(crate) fn pin(self) -> &'static str {
        match self {
            Self::Ssh => "`host-keys`",
            Self::Winrm(..) => "`certificates`",
        }
    }

    /// What to do where nothing is known that a guest could prove itself by.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Ssh => "give its `host-keys`",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn winrm() -> Facts {
        Facts { transport: Some(Named::Winrm), ..Facts::default() }
    }

    fn of(facts: &Facts) -> Result<Protocol, String> {
        Protocol::of(facts).map_err(|error| error.to_string())
    }

    #[test]
    fn the_port_or_a_word_says_what_carries_it() {
        assert_eq!(of(&Facts::default()), Ok(Protocol::Ssh));
        assert_eq!(Protocol::Ssh.port(&Facts::default()), 22);
        let (tls, sealed) = (Security::Tls, Security::SealedMessages);
        for (scheme, port, security, reached) in [
            (None, None, tls, 5986),
            (None, Some(5985), sealed, 5985),
            (None, Some(443), tls, 443),
            (Some("http"), None, sealed, 5985),
            (Some("https"), Some(5985), tls, 5985),
        ] {
            let facts = Facts { scheme: scheme.map(str::to_owned), port, ..winrm() };
            let protocol = of(&facts).unwrap();
            assert_eq!(
                (protocol, protocol.port(&facts)),
                (Protocol::Winrm(security, None, Interpreter::None), reached)
            );
            assert_eq!(protocol.shows_itself(), security == tls);
        }
        let windows = of(&Facts { os: Some(Os::Windows), ..winrm() });
        assert_eq!(windows, Ok(Protocol::Winrm(tls, None, Interpreter::Cmd)), "nothing else is known there");
        let basic = Facts { authentication: Some("basic".into()), ..winrm() };
        assert_eq!(of(&basic), Ok(Protocol::Winrm(tls, Some(Method::Basic), Interpreter::None)));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_remedy() {
        let list = || vec!["SHA256:x".to_owned()];
        let http = || Facts { scheme: Some("http".into()), ..winrm() };
        for (facts, part) in [
            (Facts { scheme: Some("ftp".into()), ..winrm() }, "none of: https, http"),
            (
                Facts { authentication: Some("digest".into()), ..winrm() },
                "negotiate, ntlm, credssp, basic, kerberos",
            ),
            (Facts { host_name: Some("x".into()), ..winrm() }, "set `authentication` to kerberos"),
            (Facts { host_name: Some("x".into()), ..Facts::default() }, "set `authentication` to kerberos"),
            (Facts { credential: Some(Credential::Tickets), ..winrm() }, "tickets are what Kerberos takes"),
            #[cfg(feature = "kerberos")]
            (Facts { authentication: Some("kerberos".into()), ..winrm() }, "give that as `host-name`"),
            #[cfg(not(feature = "kerberos"))]
            (Facts { authentication: Some("kerberos".into()), ..winrm() }, "`--features kerberos`"),
            (Facts { certificates: list(), ..Facts::default() }, "set `transport` to winrm"),
            (Facts { scheme: Some("http".into()), ..Facts::default() }, "set `transport` to winrm"),
            (Facts { host_keys: list(), ..winrm() }, "give `certificates`"),
            (Facts { credential: Some(Credential::KeyFile("/k".into())), ..winrm() }, "`password-file`"),
            (Facts { certificates: list(), ..http() }, "shows no certificate"),
            (Facts { authentication: Some("basic".into()), ..http() }, "take `negotiate`"),
            (
                Facts { certificates: list(), certificate_authority: Some("/ca".into()), ..winrm() },
                "remove them, or",
            ),
            (Facts { certificate_name: Some("x".into()), ..winrm() }, "give that, too"),
        ] {
            let said = of(&facts).unwrap_err();
            assert!(said.contains(part), "{facts:?}: {said}");
        }
    }

    #[cfg(feature = "kerberos")]
    #[test]
    fn over_http_a_ticket_proves_who_a_guest_is() {
        let by_ticket = |scheme: &str| Facts {
            scheme: Some(scheme.into()),
            authentication: Some("kerberos".into()),
            host_name: Some("win.lab.example".into()),
            credential: Some(Credential::Tickets),
            ..winrm()
        };
        for (scheme, proves) in [("http", Some(Identity::TrustOnFirstUse)), ("https", None)] {
            let facts = by_ticket(scheme);
            let protocol = of(&facts).unwrap();
            assert_eq!(protocol.is_pinned(&facts), proves.is_some(), "{scheme}");
            assert_eq!(
                protocol.pinned(&facts, [192, 0, 2, 7].into()).map_err(|error| error.to_string()),
                Ok(proves)
            );
        }
    }

    #[test]
    fn what_was_not_built_in_is_refused_with_the_remedy() {
        for scheme in ["https", "http"] {
            let authentication = Some("credssp".into());
            let said = of(&Facts { scheme: Some(scheme.into()), authentication, ..winrm() });
            if cfg!(feature = "credssp") {
                assert!(matches!(said, Ok(Protocol::Winrm(_, Some(Method::CredSsp), _))), "{said:?}");
            } else {
                let said = said.unwrap_err();
                assert!(
                    said.contains("built without CredSSP") && said.contains("--features credssp"),
                    "{said}"
                );
            }
        }
    }

    /// What is in this file, in the configuration, or taken over from elsewhere.
    const MAY_NAME_IT: [&str; 3] = ["pod/protocol.rs", "config/", "cli/fleet/ansible/"];

    #[test]
    fn nobody_else_knows_which_protocols_and_systems_there_are() {
        fn look(folder: &Path, root: &Path, seen: &mut usize) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                if path.is_dir() {
                    look(&path, root, seen);
                } else if !MAY_NAME_IT.iter().any(|may| name.starts_with(may)) {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let names =
                        |line: &&str| line.to_lowercase().contains("winrm") || line.contains("Windows");
                    assert_eq!(text.lines().find(names), None, "in {name}");
                    *seen += 1;
                }
            }
        }
        let (root, mut seen) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), 0);
        look(&root, &root, &mut seen);
        assert!(seen > 100, "{seen} files");
    }

    #[test]
    fn an_authority_vouches_for_a_name_or_the_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let facts = Facts { certificate_authority: Some(path.clone()), ..winrm() };
        let protocol = of(&facts).unwrap();
        let pinned =
            |facts: &Facts| protocol.pinned(facts, [192, 0, 2, 7].into()).map_err(|error| error.to_string());
        assert!(protocol.is_pinned(&facts) && pinned(&facts).unwrap_err().contains("ca.pem"));
        std::fs::write(&path, "PEM").unwrap();
        let by = |name: &str| Some(Identity::CertifiedBy { authority: "PEM".into(), name: name.into() });
        assert_eq!(pinned(&facts), Ok(by("192.0.2.7")));
        let named = Facts { certificate_name: Some("win.example".into()), ..facts };
        assert_eq!(pinned(&named), Ok(by("win.example")));
    }
}
