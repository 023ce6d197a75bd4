//! What machines may still hold of pods: a file for each adoption that puts something into its machine, there before it does.
//!
//! ```text
//!   none --owe (recorded)--> owed, and the machine is in use --released--> due --paid: the machine has nothing of it--> none
//! ```
//!
//! A debt outlives its adoption, so that whatever dies or is silent at the end of a pod, the machine is given back some day. It is
//! due when nobody of this provider has the machine: whoever adopts it next has to take away what is there anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::reach::Protocol;
use super::record::{self, Adoption, Door, same_machine};
use crate::{Error, MachineId, Result};

/// How the files end.
const OWED: &str = ".owed";

/// What an adoption owes, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Debt {
    machine: String,
    address: SocketAddr,
    #[serde(default)]
    transport: Protocol,
    /// The keys that the machine has proven.
    keys: Vec<String>,
}

/// A machine that is to be given back, and is in nobody's use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Who had it.
    pub id: MachineId,
    /// Its name in the inventory.
    pub name: String,
    /// Where it was reached.
    pub address: SocketAddr,
    /// The keys by which it was known.
    pub keys: Vec<String>,
}

/// All that is owed.
#[derive(Debug)]
pub(super) struct Debts {
    root: PathBuf,
    known: Mutex<BTreeMap<MachineId, Debt>>,
    due: watch::Sender<Vec<Owed>>,
}

impl Debts {
    /// Finds the debts that stand in `root`.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let known = Mutex::new(read(root)?);
        Ok(Self { root: root.to_owned(), known, due: watch::Sender::default() })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<MachineId, Debt>) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is due, to be watched.
    pub(super) fn due(&self) -> watch::Receiver<Vec<Owed>> {
        self.due.subscribe()
    }

    /// Whether anything is owed under this id.
    pub(super) fn owes(&self, id: &MachineId) -> bool {
        self.with(|known| known.contains_key(id))
    }

    /// Records that a machine may hold something of its holder.
    pub(super) fn owe(&self, id: &MachineId, adoption: &Adoption, keys: Vec<String>) -> Result<()> {
        let (address, transport) = adoption.door();
        let debt = Debt { machine: adoption.machine.clone(), address, transport, keys };
        if self.with(|known| known.get(id) == Some(&debt)) {
            return Ok(());
        }
        record::durable(&self.root, &self.path(id), &debt)?;
        self.with(|known| known.insert(id.clone(), debt));
        Ok(())
    }

    /// Forgets what is owed under this id, and what was owed of the same machine before.
    pub(super) fn paid(&self, id: &MachineId) -> Result<()> {
        let paid: Vec<MachineId> = self.with(|known| {
            let Some(machine) = known.get(id).map(|debt| debt.machine.clone()) else { return Vec::new() };
            known.iter().filter(|(_, debt)| debt.machine == machine).map(|(id, _)| id.clone()).collect()
        });
        for id in paid {
            record::remove_file(&self.path(&id))?;
            self.with(|known| known.remove(&id));
        }
        Ok(())
    }

    /// Tells what is due, where so much is held.
    pub(super) fn tell(&self, held: &[(String, Door)]) {
        let free = |(_, debt): &(&MachineId, &Debt)| {
            let door = (debt.address, debt.transport);
            !held.iter().any(|(machine, held)| *machine == debt.machine || same_machine(*held, door))
        };
        let due: Vec<Owed> = self.with(|known| {
            let owed = known.iter().filter(free).map(|(id, debt)| {
                let Debt { machine, address, keys, .. } = debt.clone();
                Owed { id: id.clone(), name: machine, address, keys }
            });
            owed.collect()
        });
        self.due.send_if_modified(|known| {
            let changed = *known != due;
            *known = due;
            changed
        });
    }

    fn path(&self, id: &MachineId) -> PathBuf {
        self.root.join(format!("{id}{OWED}"))
    }
}

/// The names of the machines below the directory of a provider that may hold something of a pod.
pub fn owed(root: &Path) -> Result<BTreeSet<String>> {
    Ok(read(root)?.into_values().map(|debt| debt.machine).collect())
}

/// The debts in a directory. One that cannot be read is told, and left.
fn read(root: &Path) -> Result<BTreeMap<MachineId, Debt>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::failed(format!("cannot list {}", root.display()), error)),
    };
    let mut known = BTreeMap::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(OWED));
        let Some(id) = id.and_then(|id| MachineId::new(id).ok()) else { continue };
        match fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
            Ok(debt) => drop(known.insert(id, debt)),
            // It was paid meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "cannot be read; a machine may hold something of a pod");
            }
        }
    }
    Ok(known)
}
