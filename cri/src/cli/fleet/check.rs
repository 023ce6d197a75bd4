//! `infranetes fleet check`: what a pod on each machine would find.
//!
//! Happy path: the machine proves the identity that is pinned, lets us in, and the session ends. Failure paths: each is told in the
//! words of the transport, and the exit code is 1. A machine without a pin is sent nothing secret: only the key that it shows is
//! told, for a person to compare and to pin. One whose first key pods trust is entered only where that is asked for.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use machines::fleet::Entry;
use serde_json::{Value, json};
use transports::{Error, Identity, Ssh, Target, Transport};

use super::super::Global;
use super::super::output::{self, Format};
use super::super::table::table;
use super::{Machine, Where};
use crate::pod::login;

/// How many machines are looked at at once.
const AT_ONCE: usize = 16;
/// The fingerprint of no key.
const NO_KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Options of `fleet check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The machines; all where none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Log in also where nothing is pinned and the entry trusts the first key; whoever answers there is sent the credential.
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
        matches!(self.state, "ok" | "secret needed" | "first key")
    }
}

pub(super) async fn run(global: &Global, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut machines = args.place.machines()?;
    if let Some(name) = args.names.iter().find(|name| !machines.iter().any(|it| it.entry.name == **name)) {
        bail!("no inventory has a machine {name:?}; `infranetes fleet ls` lists those there are");
    }
    machines.retain(|machine| args.names.is_empty() || args.names.contains(&machine.entry.name));
    let looks = machines.iter().map(|Machine { entry, .. }| async move {
        let (state, said) = look(entry, args.trust).await;
        Found { name: entry.name.clone(), address: entry.address(), state, said }
    });
    let found: Vec<Found> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    match global.output {
        Format::Json => output::json(&found.iter().map(json).collect())?,
        Format::Text => output::bytes(text(&found).as_bytes())?,
    }
    Ok(if found.iter().all(Found::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Connects to a machine as far as it proves what its entry pins.
async fn look(entry: &Entry, trust: bool) -> (&'static str, String) {
    let facts = crate::fleet::facts(entry);
    let resolved = tokio::net::lookup_host((entry.host.as_str(), entry.port)).await;
    let address = match resolved.map(|mut found| found.next()) {
        Ok(Some(address)) => address,
        Ok(None) => return ("unreachable", format!("{} has no address", entry.host)),
        Err(error) => return ("unreachable", format!("{} cannot be resolved: {error}", entry.host)),
    };
    let pinned = !entry.host_keys.is_empty();
    let proven = pinned || (trust && entry.trust_on_first_use);
    let credential = match facts.credential.as_ref().filter(|_| proven).map(login::read).transpose() {
        Ok(credential) => credential,
        Err(error) => return ("no credential", error.chain()),
    };
    let (secret_needed, identity) = match (pinned, proven) {
        (true, _) => (credential.is_none(), Identity::Pinned(entry.host_keys.clone())),
        (false, true) => (credential.is_none(), Identity::TrustOnFirstUse),
        (false, false) => (false, Identity::Pinned(vec![NO_KEY.to_owned()])),
    };
    let who = if pinned { "it is the pinned one" } else { "no key of it is pinned" };
    let target = Target {
        address,
        user: crate::pod::facts::user(&facts).to_owned(),
        credentials: credential.into_iter().collect(),
        identity,
        legacy_algorithms: entry.legacy_algorithms.clone(),
    };
    match Ssh::default().connect(&target).await {
        Ok(_) => ("ok", format!("{who}, and it lets us in")),
        Err(Error::Refused(_)) if secret_needed => {
            ("secret needed", format!("{who}; pods on it have to bring a Secret"))
        }
        Err(error @ Error::WrongIdentity(_)) if !proven && entry.trust_on_first_use => (
            "first key",
            format!(
                "{error}; pods trust what it shows first: pin that key as `host-keys`, or log in once with --trust"
            ),
        ),
        Err(error @ Error::WrongIdentity(_)) if !proven => {
            ("not pinned", format!("{error}; pin that key as `host-keys` if it is the right one"))
        }
        Err(error @ Error::WrongIdentity(_)) => ("another machine", error.to_string()),
        Err(error @ (Error::Refused(_) | Error::Forbidden(_))) => ("refused", error.to_string()),
        Err(error @ Error::Invalid(_)) => ("wrong entry", error.to_string()),
        Err(error) => ("unreachable", error.to_string()),
    }
}

fn text(found: &[Found]) -> String {
    let row = |it: &Found| [it.name.clone(), it.address.clone(), it.state.to_owned(), it.said.clone()];
    let rows: Vec<_> = found.iter().map(row).collect();
    table(["NAME", "ADDRESS", "STATE", "SEEN"], &rows)
}

fn json(found: &Found) -> Value {
    json!({ "name": found.name, "address": found.address, "state": found.state, "seen": found.said })
}
