//! From the text of an inventory to its entries. Each error has the line, the key and the remedy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::inventory::{Credential, Entry, Inventory, Protocol};
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
    trust_on_first_use: bool,
    #[serde(default)]
    transport: Protocol,
    #[serde(default)]
    legacy_algorithms: Vec<String>,
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
    let (host, port) = host_and_port(written.address.get_ref(), written.transport.port())
        .map_err(|why| place.wrong(written.address.span().start, why))?;
    if let Some(credential) = &written.credential {
        let (Credential::KeyFile(file) | Credential::PasswordFile(file)) = credential.get_ref();
        if !file.is_absolute() {
            let why = format!("credential file {} is not an absolute path; write all of it", file.display());
            return Err(place.wrong(credential.span().start, why));
        }
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
        trust_on_first_use: written.trust_on_first_use,
        transport: written.transport,
        legacy_algorithms: written.legacy_algorithms,
        labels: written.labels,
        log: written.log,
        answer_within_seconds,
        power_off: written.power_off,
    })
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

/// Takes `host`, `host:port`, `[v6]:port` or an address of IPv6 apart.
fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let wrong = || {
        format!(
            "address {text:?} is none; write an IP address or a host's name, and `:PORT` behind it if need be"
        )
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return numbers(address, text).map(|host| (host, default));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
        None => (text, default),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return numbers(address, text).map(|host| (host, port));
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A number as the last label is meant as an address.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.len() > 253 || numeric || !host.split('.').all(label) {
        return Err(wrong());
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Err(format!("address {text:?} is this node itself, whose packets cannot be forwarded to it"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// An address, written in the one way by which two of them are known to be the same.
fn numbers(address: IpAddr, text: &str) -> Result<String, String> {
    let address = address.to_canonical();
    checked(address, text).map(|()| address.to_string())
}

/// Refuses an address that is no other machine's.
pub(super) fn checked(address: IpAddr, text: &str) -> Result<(), String> {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(format!(
            "address {text:?} is no address of another machine; a pod's packets are forwarded to it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Inventory, String> {
        inventory(text, Path::new("fleet.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_is_read_whole() {
        let text = "
[[machine]]
name = \"web-1\"
address = \"[2001:db8::7]:2222\"
user = \"admin\"
credential = { key-file = \"/etc/infranetes/fleet.key\" }
host-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC6ns0QRd47sJZ1tlpOmXZCPRoqXGfPDlABSpMxgK2Nc\"]
labels = { rack = \"b2\" }
power-off = true
[[machine]]
name = \"db.example\"
address = \"db.example\"
";
        let inventory = read(text).unwrap();
        let [web, db] = &inventory.entries[..] else { panic!("{inventory:?}") };
        assert_eq!((web.host.as_str(), web.port, web.power_off), ("2001:db8::7", 2222, true));
        assert_eq!(web.address(), "[2001:db8::7]:2222");
        assert_eq!(web.credential, Some(Credential::KeyFile("/etc/infranetes/fleet.key".into())));
        assert_eq!((db.address().as_str(), db.power_off), ("db.example:22", false));
        assert_eq!(db.answer_within_seconds, 120);
        assert_eq!(read("").unwrap().entries, []);
    }

    #[test]
    fn each_error_names_line_and_remedy() {
        let with = |line: &str| {
            let more = if line.starts_with("address") { "" } else { "address = \"192.0.2.1\"\n" };
            read(&format!("[[machine]]\nname = \"a\"\n{more}{line}\n")).unwrap_err()
        };
        for (line, at, part) in [
            ("pasword = \"x\"", 4, "docs/fleet.md"),
            ("transport = \"telnet\"", 4, "docs/fleet.md"),
            ("credential = { password = \"x\" }", 4, "password-file"),
            ("credential = { key-file = \"key\" }", 4, "absolute"),
            ("host-keys = [\"AAAA\"]", 4, "ssh-keyscan 192.0.2.1"),
            ("answer-within-seconds = 0", 4, "1 to 86400"),
            ("address = \"192.0.2.1:x\"", 3, "`:PORT`"),
            ("address = \"300.0.2.1\"", 3, "an IP address"),
            ("address = \"127.0.0.1\"", 3, "another machine"),
            ("address = \"::ffff:127.0.0.1\"", 3, "another machine"),
            ("address = \"localhost:22\"", 3, "this node itself"),
            ("address = \"a b\"", 3, "an IP address"),
        ] {
            let said = with(line);
            assert!(said.starts_with(&format!("fleet.toml:{at}: ")) && said.contains(part), "{line}: {said}");
        }
    }

    #[test]
    fn names_stand_in_image_references() {
        for good in ["a", "web-1", "web--1", "a.b_c", "0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Web", "-a", "a-", "a..b", "a/b", "a:1", "a b", "a.-b", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn neither_a_name_nor_an_address_stands_twice() {
        let two = |name: &str, address: &str| {
            read(&format!(
                "[[machine]]\nname = \"a\"\naddress = \"192.0.2.1\"\n[[machine]]\nname = \"{name}\"\naddress = \"{address}\"\n"
            ))
        };
        assert!(two("b", "192.0.2.1:2222").is_ok());
        let said = two("a", "192.0.2.2").unwrap_err();
        assert!(said.starts_with("fleet.toml:5: ") && said.contains("another name"), "{said}");
        for same in ["192.0.2.1:22", "::ffff:192.0.2.1", "[::ffff:c000:201]:22"] {
            let said = two("b", same).unwrap_err();
            assert!(said.starts_with("fleet.toml:6: ") && said.contains("\"a\" already"), "{same}: {said}");
        }
        let said = read(
            "[[machine]]\nname = \"a\"\naddress = \"web.example\"\n[[machine]]\nname = \"b\"\naddress = \"WEB.Example\"\n",
        )
        .unwrap_err();
        assert!(said.contains("\"a\" already"), "{said}");
    }
}
