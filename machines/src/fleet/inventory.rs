//! What is known of machines that run already: one TOML file, read again whenever it has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::parse;
use super::reach::{Authentication, Os, Protocol, Scheme};
use crate::{Error, Result};

/// The machines that may be adopted, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: what stands after `fleet/` in an image reference.
    pub name: String,
    /// An address, or a name that is resolved when it is adopted.
    pub host: String,
    /// The port of its protocol.
    pub port: u16,
    /// The user to log in as.
    pub user: Option<String>,
    /// What proves that we may; absent where each pod names a Secret.
    pub credential: Option<Credential>,
    /// The public keys of SSH, or their fingerprints, by which it is known.
    pub host_keys: Vec<String>,
    /// The certificates, or their fingerprints, by which it is known.
    pub certificates: Vec<String>,
    /// A file with the authorities one of which vouches for it.
    pub certificate_authority: Option<PathBuf>,
    /// The name that they vouch for; absent: its address, as it is written.
    pub certificate_name: Option<String>,
    /// Its name in its domain, by which Kerberos knows it.
    pub host_name: Option<String>,
    /// Whether the first key or certificate that it shows is trusted.
    pub trust_on_first_use: bool,
    /// The protocol that it speaks.
    pub transport: Protocol,
    /// What that is carried by, where there is a choice.
    pub scheme: Option<Scheme>,
    /// How one logs in, where only one way may be used.
    pub authentication: Option<Authentication>,
    /// Algorithms beyond the safe default that it needs.
    pub legacy_algorithms: Vec<String>,
    /// Its operating system.
    pub os: Os,
    /// What people sort machines by.
    pub labels: BTreeMap<String, String>,
    /// Where its log is, as the fact of an image.
    pub log: Option<String>,
    /// How long it may be silent, at its adoption and later, in seconds.
    pub answer_within_seconds: u64,
    /// Whether the end of its pod shuts it down. It is never powered off otherwise.
    pub power_off: bool,
}

/// What the node has that proves that we may log in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Credential {
    /// A file with a private key.
    KeyFile(PathBuf),
    /// A file with a password.
    PasswordFile(PathBuf),
    /// Tickets for the user, which Kerberos takes.
    Tickets,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(path) => write!(f, "key-file {}", path.display()),
            Self::PasswordFile(path) => write!(f, "password-file {}", path.display()),
            Self::Tickets => f.write_str("tickets"),
        }
    }
}

impl Entry {
    /// `host:port`, as it is written.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Inventory {
    /// Reads and checks a file. An error names the file, the line, and what to do.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::Invalid(format!(
                "cannot read the inventory {}: {error}; write one, or name another file as `inventory`",
                path.display()
            ))
        })?;
        parse::inventory(&text, path)
    }

    /// An entry by its name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// What tells whether a file is another one than before: number, size, and time in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

/// An inventory that follows its file.
#[derive(Debug)]
pub struct InventoryFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    inventory: Arc<Inventory>,
    fault: Option<String>,
}

impl InventoryFile {
    /// Reads the file, which must be right the first time.
    pub fn open(path: &Path) -> Result<Self> {
        let stamp = stamp(path);
        let inventory = Arc::new(Inventory::load(path)?);
        Ok(Self { path: path.to_owned(), seen: Mutex::new(Seen { stamp, inventory, fault: None }) })
    }

    /// The inventory as the file has it now; as it was last where the file cannot be read.
    pub fn current(&self) -> Arc<Inventory> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp.is_none() || stamp != seen.stamp {
            match Inventory::load(&self.path) {
                Ok(inventory) => {
                    tracing::info!(file = %self.path.display(), machines = inventory.entries.len(), "inventory read");
                    (seen.inventory, seen.fault) = (Arc::new(inventory), None);
                }
                Err(error) => {
                    let fault = error.to_string();
                    if seen.fault.as_ref() != Some(&fault) {
                        tracing::error!(error = fault, "the inventory as it was stays in force");
                    }
                    seen.fault = Some(fault);
                }
            }
            seen.stamp = stamp;
        }
        Arc::clone(&seen.inventory)
    }

    /// What is wrong with the file now.
    #[cfg(test)]
    fn fault(&self) -> Option<String> {
        self.current();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> String {
        format!("[[machine]]\nname = \"{name}\"\naddress = \"192.0.2.1\"\n")
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_leaves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        let replace = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, &path).unwrap();
        };
        let missing = InventoryFile::open(&path).unwrap_err().to_string();
        assert!(missing.contains("fleet.toml") && missing.contains("`inventory`"), "{missing}");
        replace(&machine("a"));
        let file = InventoryFile::open(&path).unwrap();
        assert!(file.current().entry("a").is_some());
        replace(&machine("b"));
        assert!(file.current().entry("a").is_none() && file.current().entry("b").is_some());
        replace("[[machine]]\n");
        assert!(file.current().entry("b").is_some());
        assert!(file.fault().unwrap().contains("fleet.toml:1: "), "{:?}", file.fault());
        replace(&machine("c"));
        assert!(file.current().entry("c").is_some() && file.fault().is_none());
    }
}
