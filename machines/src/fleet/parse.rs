//! From the text of an inventory to its entries. Each error has the line, the key and the remedy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::address::host_and_port;
use super::inventory::{Credential, Entry, Inventory};
use super::reach::{self, Authentication, Os, Protocol, Scheme};
use crate::{Error, Result};

/// How long a machine may be silent where its entry does not say, in seconds.
const ANSWER_WITHIN_SECONDS: u64 = 120;
/// The longest that it may be, in seconds: a day.
const LONGEST_SILENCE: u64 = 24 * 60 * 60;
/// The longest name.
const LONGEST_NAME: usize = 63;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    machine: Vec<Spanned<Written>>,
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    name: Spanned<String>,
    address: Spanned<String>,
    user: Option<String>,
    credential: Option<Spanned<Credential>>,
    #[serde(default)]
    host_keys: Vec<Spanned<String>>,
    #[serde(default)]
    certificates: Vec<Spanned<String>>,
    certificate_authority: Option<Spanned<PathBuf>>,
    certificate_name: Option<Spanned<String>>,
    host_name: Option<Spanned<String>>,
    #[serde(default)]
    trust_on_first_use: bool,
    #[serde(default)]
    transport: Protocol,
    scheme: Option<Spanned<Scheme>>,
    authentication: Option<Spanned<Authentication>>,
    #[serde(default)]
    legacy_algorithms: Vec<Spanned<String>>,
    #[serde(default)]
    os: Os,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    log: Option<String>,
    answer_within_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    power_off: bool,
}

/// Where in a file something stands.
struct Place<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Place<'_> {
    fn wrong(&self, offset: usize, why: impl std::fmt::Display) -> Error {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Error::Invalid(format!("{}:{line}: {why}", self.path.display()))
    }
}

/// Reads an inventory.
pub(super) fn inventory(text: &str, path: &Path) -> Result<Inventory> {
    let place = Place { text, path };
    let file: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        place.wrong(offset, format!("{}; docs/fleet.md lists every key of a [[machine]]", error.message()))
    })?;
    let mut entries: Vec<Entry> = Vec::new();
    for written in file.machine {
        let written = written.into_inner();
        let (name_at, address_at) = (written.name.span().start, written.address.span().start);
        let entry = entry(written, &place)?;
        for other in &entries {
            if other.name == entry.name {
                return Err(place.wrong(
                    name_at,
                    format!("a machine {:?} stands above already; give this one another name", entry.name),
                ));
            }
            if (&other.host, other.port) == (&entry.host, entry.port) {
                return Err(place.wrong(
                    address_at,
                    format!(
                        "{} is the address of {:?} already; one machine has one entry, or it could be adopted twice",
                        entry.address(),
                        other.name
                    ),
                ));
            }
        }
        entries.push(entry);
    }
    Ok(Inventory { entries })
}

fn entry(written: Written, place: &Place<'_>) -> Result<Entry> {
    let name = written.name.get_ref();
    if !is_name(name) {
        return Err(place.wrong(
            written.name.span().start,
            format!(
                "name {name:?} cannot stand in an image reference; take 1 to {LONGEST_NAME} characters of a-z, 0-9 and \
                 '-', '_', '.' singly between them"
            ),
        ));
    }
    let (host, port) = host_and_port(written.address.get_ref())
        .map_err(|why| place.wrong(written.address.span().start, why))?;
    if let Some(credential) = &written.credential
        && let Credential::KeyFile(file) | Credential::PasswordFile(file) = credential.get_ref()
    {
        whole("credential file", file).map_err(|why| place.wrong(credential.span().start, why))?;
    }
    if let Some(authority) = &written.certificate_authority {
        whole("certificate-authority", authority.get_ref())
            .map_err(|why| place.wrong(authority.span().start, why))?;
    }
    if let Some(key) = written.host_keys.iter().find(|key| !is_pin(key.get_ref())) {
        return Err(place.wrong(
            key.span().start,
            format!(
                "host key {:?} is neither a public key (`ssh-ed25519 AAAA...`) nor a fingerprint (`SHA256:...`); \
                 `ssh-keyscan {host}` prints the keys that a machine shows",
                key.get_ref()
            ),
        ));
    }
    if let Some(pin) = written.certificates.iter().find(|pin| !is_certificate(pin.get_ref())) {
        return Err(place.wrong(
            pin.span().start,
            format!(
                "certificate {:?} is neither a fingerprint (`SHA256:` and 64 hexadecimal digits) nor a certificate in PEM form; \
                 `infranetes fleet check` shows the one that a machine has",
                pin.get_ref()
            ),
        ));
    }
    let reached = written.reached(&host, port);
    if let Some((at, why)) = reached.fault() {
        return Err(place.wrong(at, why));
    }
    let (scheme, port) = reached.scheme_and_port();
    let host_name = reached.host_name();
    let answer_within_seconds = match written.answer_within_seconds {
        Some(seconds) if !(1..=LONGEST_SILENCE).contains(seconds.get_ref()) => {
            let why = format!("answer-within-seconds takes 1 to {LONGEST_SILENCE}");
            return Err(place.wrong(seconds.span().start, why));
        }
        Some(seconds) => seconds.into_inner(),
        None => ANSWER_WITHIN_SECONDS,
    };
    Ok(Entry {
        name: written.name.into_inner(),
        host,
        port,
        user: written.user,
        credential: written.credential.map(Spanned::into_inner),
        host_keys: written.host_keys.into_iter().map(Spanned::into_inner).collect(),
        certificates: written.certificates.into_iter().map(Spanned::into_inner).collect(),
        certificate_authority: written.certificate_authority.map(Spanned::into_inner),
        certificate_name: written.certificate_name.map(Spanned::into_inner),
        host_name,
        trust_on_first_use: written.trust_on_first_use,
        transport: written.transport,
        scheme,
        authentication: written.authentication.map(Spanned::into_inner),
        legacy_algorithms: written.legacy_algorithms.into_iter().map(Spanned::into_inner).collect(),
        os: written.os,
        labels: written.labels,
        log: written.log,
        answer_within_seconds,
        power_off: written.power_off,
    })
}

impl Written {
    /// What it says of how the machine is reached.
    fn reached<'a>(&'a self, host: &'a str, port: Option<u16>) -> reach::Written<'a> {
        reach::Written {
            transport: self.transport,
            host,
            port,
            scheme: self.scheme.as_ref(),
            authentication: self.authentication.as_ref(),
            credential: self.credential.as_ref(),
            host_keys: &self.host_keys,
            certificates: &self.certificates,
            certificate_authority: self.certificate_authority.as_ref(),
            certificate_name: self.certificate_name.as_ref(),
            host_name: self.host_name.as_ref(),
            legacy_algorithms: &self.legacy_algorithms,
        }
    }
}

fn whole(what: &str, file: &Path) -> Result<(), String> {
    if file.is_absolute() {
        return Ok(());
    }
    Err(format!("{what} {} is not an absolute path; write all of it", file.display()))
}

/// Whether a name can be a component of an image's repository.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= LONGEST_NAME
        && bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes.windows(2).all(|two| {
            plain(two[0]) || (matches!(two[0], b'-' | b'_' | b'.') && (plain(two[1]) || two == b"--"))
        })
}

fn is_pin(pin: &str) -> bool {
    let words = || pin.split_ascii_whitespace();
    pin.strip_prefix("SHA256:").is_some_and(|hash| hash.len() >= 43)
        || words().count() >= 2 && words().nth(1).is_some_and(|key| key.starts_with("AAAA"))
}

fn is_certificate(pin: &str) -> bool {
    match pin.trim().strip_prefix("SHA256:") {
        Some(hex) => {
            let digits = hex.bytes().filter(|b| *b != b':');
            digits.clone().count() == 64 && digits.clone().all(|b| b.is_ascii_hexdigit())
        }
        None => pin.trim_start().starts_with("-----BEGIN CERTIFICATE-----"),
    }
}

#[cfg(test)]
mod tests;
