//! Who has adopted what: a file for each adoption, named by its holder, there before anything is done with the machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reach::Protocol;
use crate::{Ended, Error, MachineId, Result};

/// An adoption as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Adoption {
    /// The machine's name in the inventory.
    pub machine: String,
    /// Where it is reached, as it was resolved then.
    pub address: SocketAddr,
    /// By which protocol.
    #[serde(default)]
    pub transport: Protocol,
    /// Whether its holder may shut it down.
    pub power_off: bool,
    /// How far it is.
    pub phase: Phase,
}

/// How far an adoption is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The machine is reserved.
    Adopted,
    /// It is in use.
    InUse,
    /// It is free again; what stays is how that came.
    Released(Ended),
}

impl Adoption {
    /// Whether nobody else may have the machine.
    pub fn holds(&self) -> bool {
        !matches!(self.phase, Phase::Released(_))
    }

    pub(super) fn door(&self) -> Door {
        (self.address, self.transport)
    }
}

/// Where a machine is reached, and by which protocol.
pub(super) type Door = (SocketAddr, Protocol);

/// Whether two doors are one machine's: one address, or one host by two protocols. Two ports of one protocol may be two machines behind
/// one router.
pub(super) fn same_machine(one: Door, other: Door) -> bool {
    one.0.ip() == other.0.ip() && (one.0.port() == other.0.port() || one.1 != other.1)
}

/// Every adoption below the directory of a provider, by its holder.
pub fn adoptions(root: &Path) -> Result<Vec<(MachineId, Adoption)>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::failed(format!("cannot list {}", root.display()), error)),
    };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        let Some(id) = id.and_then(|id| MachineId::new(id).ok()) else { continue };
        match read(&path) {
            Ok(adoption) => found.push((id, adoption)),
            // It was given up meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!(
                    "cannot read the adoption {}; remove the file if its pod is gone",
                    path.display()
                );
                return Err(Error::failed(what, error));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn read(path: &Path) -> std::io::Result<Adoption> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The name that this provider gave itself when it was opened first: the node's, and what makes it unique.
pub(super) fn node(root: &Path) -> Result<String> {
    let path = root.join("node");
    let failed = |error| Error::failed(format!("cannot name this provider in {}", path.display()), error);
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // The kernel makes one up for whoever reads this.
    let name = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(failed)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").map_err(failed)?;
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    let name = format!("{host}-{}", name.trim());
    replace(root, &path, name.as_bytes()).map_err(failed)?;
    Ok(name)
}

fn replace(root: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(root)?.sync_all()
}

fn path(root: &Path, id: &MachineId) -> PathBuf {
    root.join(format!("{id}.json"))
}

/// Makes an adoption durable, whole or not at all.
pub(super) fn write(root: &Path, id: &MachineId, adoption: &Adoption) -> Result<()> {
    durable(root, &path(root, id), adoption)
}

/// Makes a file of this directory durable, whole or not at all.
pub(super) fn durable(root: &Path, path: &Path, what: &impl Serialize) -> Result<()> {
    serde_json::to_vec(what)
        .map_err(std::io::Error::from)
        .and_then(|bytes| replace(root, path, &bytes))
        .map_err(|error| Error::failed(format!("cannot write {}", path.display()), error))
}

/// Forgets an adoption. An absent one is a success.
pub(super) fn remove(root: &Path, id: &MachineId) -> Result<()> {
    remove_file(&path(root, id))
}

/// Removes a file. An absent one is a success.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
