//! How a machine is reached: by which protocol, and what it proves itself by in that.
//!
//! ```text
//!   ssh                port 22     a key:          host-keys                               a key or a password
//!   winrm, https       port 5986   a certificate:  certificates or certificate-authority   a password
//!   winrm, http        port 5985   nothing but that it knows the password                  a password
//! ```
//!
//! By Kerberos a machine is known by its name in the domain, too, and the node's own tickets may take a password's place.
//! What is said of one protocol and means nothing in the other is refused, for it would be a wish that nobody hears.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::inventory::Credential;

/// A protocol that a machine of the fleet speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SSH.
    #[default]
    Ssh,
    /// `WinRM`.
    Winrm,
}

/// What `WinRM` is carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS, with a certificate.
    Https,
    /// Messages that are sealed one by one.
    Http,
}

/// How one logs in to `WinRM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Negotiated.
    Negotiate,
    /// NTLM by its name.
    Ntlm,
    /// By the password as it is, once the machine has proved that it knows it: what runs there may use it further.
    CredSsp,
    /// By the password as it is.
    Basic,
    /// By a ticket of the domain.
    Kerberos,
}

/// The operating system of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux, or what is like it.
    #[default]
    Linux,
    /// Windows.
    Windows,
}

impl Protocol {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Winrm => "winrm",
        }
    }
}

impl Scheme {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// The port where an address names none.
    fn port(self) -> u16 {
        match self {
            Self::Https => 5986,
            Self::Http => 5985,
        }
    }

    /// What a port is for where nothing else is said.
    fn of(port: Option<u16>) -> Self {
        if port == Some(Self::Http.port()) { Self::Http } else { Self::Https }
    }
}

impl Authentication {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Negotiate => "negotiate",
            Self::Ntlm => "ntlm",
            Self::CredSsp => "credssp",
            Self::Basic => "basic",
            Self::Kerberos => "kerberos",
        }
    }
}

impl Os {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }
}

/// What an entry says of it, as it is written.
pub(super) struct Written<'a> {
    pub(super) transport: Protocol,
    /// The address, without the port.
    pub(super) host: &'a str,
    /// The port, where the address names one.
    pub(super) port: Option<u16>,
    pub(super) scheme: Option<&'a Spanned<Scheme>>,
    pub(super) authentication: Option<&'a Spanned<Authentication>>,
    pub(super) credential: Option<&'a Spanned<Credential>>,
    pub(super) host_keys: &'a [Spanned<String>],
    pub(super) certificates: &'a [Spanned<String>],
    pub(super) certificate_authority: Option<&'a Spanned<PathBuf>>,
    pub(super) certificate_name: Option<&'a Spanned<String>>,
    pub(super) host_name: Option<&'a Spanned<String>>,
    pub(super) legacy_algorithms: &'a [Spanned<String>],
}

impl Written<'_> {
    /// The scheme, where the protocol has any, and the port.
    pub(super) fn scheme_and_port(&self) -> (Option<Scheme>, u16) {
        match self.transport {
            Protocol::Ssh => (None, self.port.unwrap_or(22)),
            Protocol::Winrm => {
                let scheme = self.scheme.map_or_else(|| Scheme::of(self.port), |scheme| *scheme.get_ref());
                (Some(scheme), self.port.unwrap_or(scheme.port()))
            }
        }
    }

    /// Whether one logs in by Kerberos, and where that is said.
    fn kerberos(&self) -> Option<usize> {
        at(self.authentication.filter(|how| *how.get_ref() == Authentication::Kerberos))
    }

    /// The name by which Kerberos knows the machine: that, or the address where it is a name.
    pub(super) fn host_name(&self) -> Option<String> {
        self.kerberos()?;
        let named = self.host.parse::<IpAddr>().is_err().then_some(self.host);
        self.host_name.map(|name| name.get_ref().as_str()).or(named).map(str::to_owned)
    }

    /// What does not go together: where it stands, and what to do.
    pub(super) fn fault(&self) -> Option<(usize, String)> {
        match self.scheme_and_port().0 {
            None => self.fault_of_ssh(),
            Some(scheme) => self.fault_of_winrm(scheme),
        }
    }

    fn fault_of_ssh(&self) -> Option<(usize, String)> {
        let of_winrm = [
            ("scheme", at(self.scheme)),
            ("authentication", at(self.authentication)),
            ("certificates", at(self.certificates.first())),
            ("certificate-authority", at(self.certificate_authority)),
            ("certificate-name", at(self.certificate_name)),
            ("host-name", at(self.host_name)),
            ("a credential of tickets", self.tickets()),
        ];
        let (key, at) = of_winrm.into_iter().find_map(|(key, at)| Some((key, at?)))?;
        let why = format!(
            "{key} means nothing over SSH, which the machine speaks; add `transport = \"winrm\"`, or remove it"
        );
        Some((at, why))
    }

    fn fault_of_winrm(&self, scheme: Scheme) -> Option<(usize, String)> {
        if let Some(at) = at(self.host_keys.first()) {
            let why = "a machine reached by WinRM has no SSH host key; give its `certificates`, or its \
                       `certificate-authority`";
            return Some((at, why.to_owned()));
        }
        if let Some(at) = at(self.legacy_algorithms.first()) {
            return Some((at, "legacy-algorithms are SSH's; WinRM has none of them, remove it".to_owned()));
        }
        if let Some(key) = self.credential.filter(|given| matches!(given.get_ref(), Credential::KeyFile(_))) {
            return Some((key.span().start, "WinRM takes no keys; give a `password-file`".to_owned()));
        }
        if let Some(fault) = self.fault_of_kerberos() {
            return Some(fault);
        }
        let pins = at(self.certificates.first());
        let authority = at(self.certificate_authority);
        if scheme == Scheme::Http {
            if let Some(at) = pins.or(authority).or(at(self.certificate_name)) {
                let why = "over HTTP a machine shows no certificate; reach it over HTTPS (port 5986, or `scheme = \"https\"`), \
                           or remove it and set `trust-on-first-use = true`";
                return Some((at, why.to_owned()));
            }
            if let Some(basic) = self.authentication.filter(|how| *how.get_ref() == Authentication::Basic) {
                let why = "over HTTP `basic` would show the password to everybody on the way; reach the machine over HTTPS \
                           (port 5986, or `scheme = \"https\"`), or take `negotiate`";
                return Some((basic.span().start, why.to_owned()));
            }
        }
        if let (Some(_), Some(at)) = (pins, authority) {
            let why = "the machine is pinned by its `certificates` already; remove those, or the `certificate-authority`";
            return Some((at, why.to_owned()));
        }
        let name = self.certificate_name.filter(|_| authority.is_none())?;
        let why = "certificate-name is what a `certificate-authority` vouches for; give that, too, or remove the name";
        Some((name.span().start, why.to_owned()))
    }
}

impl Written<'_> {
    fn tickets(&self) -> Option<usize> {
        at(self.credential.filter(|given| matches!(given.get_ref(), Credential::Tickets)))
    }

    fn fault_of_kerberos(&self) -> Option<(usize, String)> {
        let Some(kerberos) = self.kerberos() else {
            let (at, what) = at(self.host_name)
                .map(|at| (at, "host-name is what Kerberos knows a machine by"))
                .or(self.tickets().map(|at| (at, "tickets are what Kerberos takes")))?;
            return Some((at, format!("{what}; add `authentication = \"kerberos\"`, or remove it")));
        };
        if let Some(name) = self.host_name.filter(|name| !is_host(name.get_ref())) {
            let why =
                format!("host-name {:?} is no name of a host; write it as the domain has it", name.get_ref());
            return Some((name.span().start, why));
        }
        if self.host_name().is_none() {
            let why = "Kerberos knows a machine by its name in the domain; add it as `host-name`, or take it as the address";
            return Some((kerberos, why.to_owned()));
        }
        None
    }
}

/// Whether a domain may have a machine of this name.
fn is_host(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(fits)
}

fn at<T>(written: Option<&Spanned<T>>) -> Option<usize> {
    written.map(|written| written.span().start)
}
