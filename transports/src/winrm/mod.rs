//! `WinRM`: what Windows speaks without anything being installed (MS-WSMV, WS-Management over HTTP).
//!
//! ```text
//!   connect: dial -> certificate checked (identity) -> log in -> who answers? -> WinrmSession
//!   exec:    a place in a shell (shells) -> Command -> Receive, again and again -> Process (process)
//!            every request goes over a connection that nobody else uses meanwhile (connections)
//! ```
//!
//! A client of our own: the crate `winrm-rs` (2.0.1) was read and cannot carry this. It takes an exit code for an `i32`, and
//! so tells none for a program that crashed; it drops the codes of faults, by which a lost shell, a full quota and a
//! question that timed out are told apart; it chooses no identifiers, so that what it lost the answer to cannot be ended;
//! it writes options where Windows does not look, knows neither `WINRS_SKIP_CMD_SHELL` nor `WINRS_CONSOLEMODE_STDIN`; its
//! login may move to another connection than its challenge; and it needs a newer compiler than this project. A thin
//! client on `hyper` is shorter than ways around all of that. NTLM is our own, too ([`ntlm`] says why), and `CredSSP` around it
//! (the feature `credssp`). Kerberos is the system's, where this program is built with it (the feature `kerberos`).
//!
//! - Happy path: a few connections are kept with their logins, and a few shells. A command costs two requests in a row
//!   (`Command`, `Receive`) and two beside (the end of its input; that it may be forgotten).
//! - A program is run by its argument list, which is quoted for `cmd` ([`crate::quote`]): Windows from Server 2012 R2 on puts
//!   that between whatever is asked, by what pypsrp's authors saw. Only a guest that is no Windows is asked to leave it out
//!   ([`Interpreter`]). Exit codes are 32 bits: what Windows
//!   tells unsigned is [`crate::Exit::Code`] with the same bits, so `0xC000013A` (interrupted) is -1073741510. There are
//!   no signals; [`crate::Exit::Signal`] is told only of a command that we ended.
//! - Standard output and error come apart, as bytes; programs of Windows write UTF-8 where they follow the code page that
//!   their shell is given. PowerShell's errors are turned into text (`clixml`).
//! - Concurrent commands share nothing but the guest's quotas: each waits on a connection of its own.
//! - Who the guest is: over HTTPS its certificate, pinned by fingerprint or vouched for by an authority
//!   ([`crate::Identity`]). Over HTTP nothing but the login proves it: both sides show that they know the password, and
//!   only who knows it can seal an answer. There is nothing to pin then, so a pin is refused, and
//!   [`crate::Identity::TrustOnFirstUse`] means that trust; each guest should have a password of its own, for a guest
//!   that shares one could pass for another. By Kerberos it proves to be who the domain has by its name.
//! - Failures: nothing answers ([`crate::Error::Unreachable`] with what was seen last), another certificate
//!   ([`crate::Error::WrongIdentity`], before anything secret is sent), no password accepted
//!   ([`crate::Error::Refused`]), a connection lost under a command ([`crate::Exit::Lost`]; the session is over, and
//!   nothing is run again), or its shell (the same for the commands of that shell; the session goes on). What runs in the
//!   guest then is ended as soon as it can be reached, and by the guest itself if it never is.
//! - There are no terminals in this protocol, and no connections to the guest's ports.

mod authenticate;
mod binding;
mod body;
mod certificate;
mod clixml;
mod connection;
mod connections;
#[cfg(feature = "credssp")]
mod credssp;
mod deletions;
mod der;
mod dial;
mod encrypted;
mod envelope;
mod fault;
#[cfg(feature = "kerberos")]
mod kerberos;
mod ntlm;
mod options;
mod powershell;
mod process;
mod reply;
mod session;
mod shells;
mod stdin;
mod xml;

use async_trait::async_trait;

pub use authenticate::Method;
pub use options::{Interpreter, Security, WinrmOptions};
pub use powershell::powershell;

pub(crate) use clixml::Clixml;
pub(crate) use powershell::is_powershell;

use crate::{Result, Session, Target, Transport};

/// The `WinRM` transport.
#[derive(Debug, Clone, Default)]
pub struct Winrm {
    options: WinrmOptions,
}

impl Winrm {
    /// A transport with other security, deadlines and bounds than the default ones.
    pub fn new(options: WinrmOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Transport for Winrm {
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>> {
        Ok(Box::new(session::WinrmSession::open(&self.options, target).await?))
    }
}

/// An error in a person's words, on one line and bounded, with what is behind it.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        match io.kind() {
            std::io::ErrorKind::ConnectionRefused => return "connection refused".into(),
            std::io::ErrorKind::HostUnreachable => return "no route to host".into(),
            std::io::ErrorKind::NetworkUnreachable => return "network is unreachable".into(),
            _ => {}
        }
    }
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(inner) = behind {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        behind = inner.source();
    }
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(300).collect::<String>().to_lowercase()
}
