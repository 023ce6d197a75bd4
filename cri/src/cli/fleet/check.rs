//! `infranetes fleet check`: what a pod on each machine would find.
//!
//! Happy path: the machine proves the identity that is pinned, lets us in, and the session ends. Failure paths: each is told in the
//! words of the transport, and the exit code is 1. A machine without a pin is sent nothing secret: only the key or the certificate
//! that it shows is told, for a person to compare and to pin. One of which pods trust what it shows first is entered only where that
//! is asked for.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use images::Facts;
use machines::fleet::{Entry, resolve};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use transports::{Error, Identity};

use super::super::Global;
use super::super::output::{self, Format};
use super::super::table::table;
use super::{Machine, Where};
use crate::pod::login;
use crate::pod::protocol::Protocol;

/// How many machines are looked at at once.
const AT_ONCE: usize = 16;
/// How long a machine that shows nothing may take to take a connection.
const TCP: Duration = Duration::from_secs(5);

/// Options of `fleet check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The machines; all where none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Log in also where nothing is pinned and the entry trusts what is shown first; whoever answers is sent the credential.
    #[arg(long)]
    trust: bool,
    #[command(flatten)]
    place: Where,
}

/// What was found of a machine.
struct Found {
    name: String,
    address: String,
    state: &'static str,
    said: String,
}

impl Found {
    fn is_well(&self) -> bool {
        matches!(self.state, "ok" | "secret needed" | "first key" | "not proven")
    }
}

pub(super) async fn run(global: &Global, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.place.config()?;
    let mut machines = args.place.machines_of(&config)?;
    if let Some(name) = args.names.iter().find(|name| !machines.iter().any(|it| it.entry.name == **name)) {
        bail!("no inventory has a machine {name:?}; `infranetes fleet ls` lists those there are");
    }
    machines.retain(|machine| args.names.is_empty() || args.names.contains(&machine.entry.name));
    let (rules, pods) = (&config.image, &config.network.families());
    let looks = machines.iter().map(|Machine { entry, .. }| async move {
        let (state, said) = look(entry, &crate::fleet::ruled(entry, rules), pods, args.trust).await;
        Found { name: entry.name.clone(), address: entry.address(), state, said }
    });
    let found: Vec<Found> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    match global.output {
        Format::Json => output::json(&found.iter().map(json).collect())?,
        Format::Text => output::bytes(text(&found).as_bytes())?,
    }
    Ok(if found.iter().all(Found::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Connects to a machine as far as it proves what is pinned, by the address that pods with such addresses have it by.
async fn look(entry: &Entry, facts: &Facts, pods: &[IpAddr], trust: bool) -> (&'static str, String) {
    let protocol = match Protocol::of(facts) {
        Ok(protocol) => protocol,
        Err(error) => return ("wrong entry", error.chain()),
    };
    let address = match resolve(entry, pods).await {
        Ok(address) => address.ip(),
        Err(error) => return ("unreachable", crate::error::Error::from(error).chain()),
    };
    let pinned = match protocol.pinned(facts, address) {
        Ok(pinned) => pinned,
        Err(error) => return ("wrong entry", error.chain()),
    };
    let who = match pinned {
        Some(_) => "it is the pinned one".to_owned(),
        None => format!("no {} of it is pinned", protocol.shown()),
    };
    let trusts = facts.trust_on_first_use == Some(true);
    let trusted = pinned.is_none() && trust && trusts;
    let Some(identity) = pinned.or(trusted.then_some(Identity::TrustOnFirstUse)) else {
        return look_from_outside(facts, protocol, address).await;
    };
    let credential = match facts.credential.as_ref().map(login::read).transpose() {
        Ok(credential) => credential,
        Err(error) => return ("no credential", error.chain()),
    };
    let secret_needed = credential.is_none();
    let target = login::towards(facts, protocol, address, credential.into_iter().collect(), identity);
    match protocol.transport().connect(&target).await {
        Ok(_) => ("ok", format!("{who}, and it lets us in")),
        Err(Error::Refused(_)) if secret_needed => {
            ("secret needed", format!("{who}; pods on it have to bring a Secret"))
        }
        Err(error @ Error::WrongIdentity(_)) => ("another machine", error.to_string()),
        Err(error) => failed(&error),
    }
}

/// Connects to a machine of which nothing is pinned, only to see what it shows.
async fn look_from_outside(facts: &Facts, protocol: Protocol, address: IpAddr) -> (&'static str, String) {
    let (shown, pin) = (protocol.shown(), protocol.pin());
    let trusts = facts.trust_on_first_use == Some(true);
    let target = login::towards(facts, protocol, address, Vec::new(), protocol.nobody());
    if !protocol.shows_itself() {
        let address = target.address;
        let connected = timeout(TCP, TcpStream::connect(address)).await;
        return match connected {
            Ok(Ok(_)) if trusts => (
                "not proven",
                "it shows nothing that could be checked; log in once with --trust, or reach it over HTTPS"
                    .to_owned(),
            ),
            Ok(Ok(_)) => (
                "not pinned",
                format!(
                    "{}; or trust whoever knows its password, by `trust-on-first-use = true`",
                    protocol.remedy()
                ),
            ),
            Ok(Err(error)) => ("unreachable", format!("{address}: {error}")),
            Err(_) => ("unreachable", format!("{address}: no answer to TCP within {} s", TCP.as_secs())),
        };
    }
    match protocol.transport().connect(&target).await {
        Err(error @ Error::WrongIdentity(_)) if trusts => (
            "first key",
            format!(
                "{error}; pods trust what it shows first: pin that {shown} as {pin}, or log in once with --trust"
            ),
        ),
        Err(error @ Error::WrongIdentity(_)) => {
            ("not pinned", format!("{error}; pin that {shown} as {pin} if it is the right one"))
        }
        Err(error) => failed(&error),
        Ok(_) => ("wrong entry", format!("it proves the {shown} that nobody has; look at it by hand")),
    }
}

fn failed(error: &Error) -> (&'static str, String) {
    let state = match error {
        Error::Refused(_) | Error::Forbidden(_) => "refused",
        Error::Invalid(_) => "wrong entry",
        _ => "unreachable",
    };
    (state, error.to_string())
}

fn text(found: &[Found]) -> String {
    let row = |it: &Found| [it.name.clone(), it.address.clone(), it.state.to_owned(), it.said.clone()];
    let rows: Vec<_> = found.iter().map(row).collect();
    table(["NAME", "ADDRESS", "STATE", "SEEN"], &rows)
}

fn json(found: &Found) -> Value {
    json!({ "name": found.name, "address": found.address, "state": found.state, "seen": found.said })
}
