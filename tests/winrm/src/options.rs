//! What a server is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A way to authenticate, as the server offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Negotiate`: SPNEGO around NTLM, or NTLM as it is.
    Negotiate,
    /// `NTLM` under its own name, which Windows' own service does not offer but others do.
    Ntlm,
    /// `Kerberos` under its own name; under `Negotiate` it is taken, too. Only where there is a [`Options::principal`].
    Kerberos,
    /// `CredSSP`, which hands the password over. Windows has to be told to offer it.
    CredSsp,
    /// `Basic`, over TLS only.
    Basic,
}

/// How `CredSSP` is spoken.
#[derive(Debug, Clone, Copy)]
pub struct CredSsp {
    /// The newest version of it that is known, from 2 on. Windows has known the sixth since May 2018.
    pub version: u32,
    /// Somebody between shows a key of his own, and passes everything else on.
    pub between: Option<Between>,
}

/// What a server makes of a key that is not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// It refuses the login.
    Refused,
    /// It looks away, and tells its own: the client has to see it.
    Believed,
}

/// How a server is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// HTTPS with a certificate of its own; else HTTP with sealed messages.
    pub tls: bool,
    /// Where that is kept, and its key beside it; else it is made for this run.
    pub certificate: Option<PathBuf>,
    /// The one user there is; case does not matter, and whatever domain is before it is taken.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Who the user is in the domain, `name@REALM`: who shows a ticket of theirs for one of the keys in Kerberos' default keytab is
    /// let in. Needs the feature `kerberos`.
    pub principal: Option<String>,
    /// What is offered to who is not known yet; in this order. `Basic` is left out without TLS.
    pub schemes: Vec<Scheme>,
    /// How `CredSSP` is spoken, where that is offered.
    pub credssp: CredSsp,
    /// Whether plain HTTP may go unsealed, as `AllowUnencrypted` does.
    pub allow_unencrypted: bool,
    /// How far the server's clock is ahead in its NTLM challenge, in seconds.
    pub clock_skew_seconds: i64,
    /// The wine prefix whose `cmd` runs the commands that do not skip it; made if it is not there, in some ten seconds.
    /// Without one there is no `cmd`.
    pub wine_prefix: Option<PathBuf>,
    /// The quotas.
    pub limits: Limits,
}

impl Options {
    /// Plain HTTP on a free port of loopback.
    pub fn http(user: &str, password: &str) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            certificate: None,
            user: user.to_owned(),
            password: password.to_owned(),
            principal: None,
            schemes: vec![Scheme::Negotiate, Scheme::Basic],
            credssp: CredSsp { version: 6, between: None },
            allow_unencrypted: false,
            clock_skew_seconds: 0,
            wine_prefix: None,
            limits: Limits::default(),
        }
    }

    /// HTTPS on a free port of loopback.
    pub fn https(user: &str, password: &str) -> Self {
        Self { tls: true, ..Self::http(user, password) }
    }
}

/// Quotas; the defaults are those of Windows Server 2012 R2 and later, except where that is said.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `MaxShellsPerUser`.
    pub shells_per_user: usize,
    /// `MaxProcessesPerShell`: 25 was the default until Server 2012, and is what a client has to live with.
    pub processes_per_shell: usize,
    /// `MaxConcurrentOperationsPerUser`. Windows counts each command against it until its shell is deleted.
    pub operations_per_user: usize,
    /// `MaxEnvelopeSizekb`, in bytes.
    pub envelope_bytes: usize,
    /// The most characters of a command line.
    pub command_line: usize,
    /// How long a `Receive` without an `OperationTimeout` waits (`MaxTimeoutms`).
    pub operation_timeout: Duration,
    /// How long a shell that nobody uses is kept if it was made without an `IdleTimeOut`.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shells_per_user: 30,
            processes_per_shell: 25,
            operations_per_user: 1500,
            envelope_bytes: 500 * 1024,
            command_line: 8191,
            operation_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(7200),
        }
    }
}
