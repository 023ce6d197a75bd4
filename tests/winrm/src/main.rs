//! The server as a program, for other processes and other network namespaces.
//!
//! It prints its URL when it listens, and its certificate's fingerprint where it has one; it serves until it is ended. The signal
//! USR1 loses all shells, as a restart of the service does.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use winrm_peer::{Options, Scheme, Server};

/// A `WinRM` server for tests.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Speak HTTPS by the certificate of this file and the key beside it, which are made if they are not there.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// What is offered to who logs in, in this order.
    #[arg(long, value_name = "WAY", value_delimiter = ',', value_parser = way)]
    offer: Vec<Scheme>,
    /// The user's name.
    #[arg(long, default_value = "Administrator")]
    user: String,
    /// Who the user is in the domain: let in by a ticket for one of the keys in the file that the environment names (`KRB5_KTNAME`).
    #[cfg(feature = "kerberos")]
    #[arg(long, value_name = "NAME@REALM")]
    principal: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The wine prefix whose `cmd` runs commands, made if it is not there; without one there is no `cmd`.
    #[arg(long, value_name = "FOLDER")]
    wine_prefix: Option<PathBuf>,
    /// Let plain HTTP go unsealed.
    #[arg(long)]
    allow_unencrypted: bool,
    /// Let the clock of the challenge be ahead by this.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_hyphen_values = true)]
    clock_skew: i64,
    /// Let each request wait this long.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency: u64,
    /// The most shells of the user.
    #[arg(long, value_name = "NUMBER")]
    max_shells: Option<usize>,
    /// The longest envelope, in bytes.
    #[arg(long, value_name = "BYTES")]
    max_envelope: Option<usize>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let password = std::fs::read_to_string(&arguments.password_file)
        .with_context(|| format!("cannot read {}", arguments.password_file.display()))?;
    let mut options = Options::http(&arguments.user, password.trim_end_matches('\n'));
    options.listen = arguments.listen;
    options.tls = arguments.certificate.is_some();
    options.certificate = arguments.certificate;
    if !arguments.offer.is_empty() {
        options.schemes = arguments.offer;
    }
    #[cfg(feature = "kerberos")]
    {
        options.principal = arguments.principal;
    }
    options.allow_unencrypted = arguments.allow_unencrypted;
    options.clock_skew_seconds = arguments.clock_skew;
    options.wine_prefix = arguments.wine_prefix;
    options.limits.shells_per_user = arguments.max_shells.unwrap_or(options.limits.shells_per_user);
    options.limits.envelope_bytes = arguments.max_envelope.unwrap_or(options.limits.envelope_bytes);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut lose = signal(SignalKind::user_defined1())?;
    let server = Server::start(options).await?;
    server.faults().delay(Duration::from_millis(arguments.latency));
    writeln!(std::io::stdout(), "{} {}", server.url(), server.fingerprint().unwrap_or_default())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = lose.recv() => server.lose_shells(),
        }
    }
}

fn way(name: &str) -> Result<Scheme, String> {
    match name {
        "negotiate" => Ok(Scheme::Negotiate),
        "ntlm" => Ok(Scheme::Ntlm),
        "credssp" => Ok(Scheme::CredSsp),
        "basic" => Ok(Scheme::Basic),
        "kerberos" => Ok(Scheme::Kerberos),
        _ => Err("it is none of negotiate, ntlm, credssp, basic, kerberos".to_owned()),
    }
}
