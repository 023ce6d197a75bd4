//! The provider's calls: each is recorded first, then told to whoever watches.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;

use super::debt::{Debts, Owed};
use super::inventory::{Inventory, InventoryFile};
use super::record::{self, Adoption, Door, Phase, same_machine};
use super::resolve::resolve;
use super::{Adopted, Adopting};
use crate::{Cause, Ended, Error, MachineId, MachineSpec, MachineState, Provider, Result, StopMode};

/// Machines that already run.
#[derive(Debug)]
pub struct Fleet {
    root: PathBuf,
    node: String,
    inventory: InventoryFile,
    held: Mutex<BTreeMap<MachineId, Held>>,
    debts: Arc<Debts>,
    /// Held by whoever changes an adoption, so that nobody decides on what is about to change.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Held {
    adoption: Adoption,
    state: watch::Sender<MachineState>,
}

impl Fleet {
    /// Opens the inventory, and finds the adoptions that stand in `root`.
    pub fn open(root: &Path, inventory: &Path) -> Result<Self> {
        let inventory = InventoryFile::open(inventory)?;
        std::fs::create_dir_all(root)
            .map_err(|error| Error::failed(format!("cannot make the directory {}", root.display()), error))?;
        let held = record::adoptions(root)?.into_iter().map(|(id, adoption)| (id, Held::new(adoption)));
        let fleet = Self {
            root: root.to_owned(),
            node: record::node(root)?,
            held: Mutex::new(held.collect()),
            debts: Arc::new(Debts::open(root)?),
            inventory,
            turn: Arc::default(),
        };
        fleet.tell_debts();
        Ok(fleet)
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<MachineId, Held>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The adoption under this id.
    fn adoption(&self, id: &MachineId) -> Option<Adoption> {
        self.with(|held| held.get(id).map(|held| held.adoption.clone()))
    }

    /// Refuses a machine that another holder has, under its name or under another one.
    fn free(&self, id: &MachineId, machine: &str, door: Option<Door>) -> Result<()> {
        let holder = self.with(|held| {
            let other = held.iter().find(|(other, Held { adoption, .. })| {
                *other != id
                    && adoption.holds()
                    && (adoption.machine == machine
                        || door.is_some_and(|door| same_machine(adoption.door(), door)))
            });
            other.map(|(other, held)| (other.clone(), held.adoption.machine.clone()))
        });
        match holder {
            Some((holder, name)) if name != machine => Err(Error::NotReady(format!(
                "machine {machine:?} of the fleet has the address of {name:?}, which is adopted by {holder} already; keep one of \
                 the two entries in the inventory"
            ))),
            Some((holder, _)) => Err(Error::NotReady(format!(
                "machine {machine:?} of the fleet is adopted by {holder} already, and serves one pod at a time; it is free \
                 when that one is removed (`infranetes fleet ls` shows who has which)"
            ))),
            None => Ok(()),
        }
    }

    /// Tells what is due now.
    fn tell_debts(&self) {
        let in_use = |held: &Held| (held.adoption.machine.clone(), held.adoption.door());
        let held: Vec<_> = self
            .with(|held| held.values().filter(|held| held.adoption.holds()).map(in_use).collect::<Vec<_>>());
        self.debts.tell(&held);
    }

    /// Records an adoption, then tells of it. The caller has the turn.
    async fn save(&self, id: &MachineId, adoption: Adoption) -> Result<()> {
        let (root, of, new) = (self.root.clone(), id.clone(), adoption.clone());
        blocking(move || record::write(&root, &of, &new)).await?;
        self.with(|held| match held.get_mut(id) {
            Some(known) => {
                known.state.send_replace(adoption.state());
                known.adoption = adoption;
            }
            None => drop(held.insert(id.clone(), Held::new(adoption))),
        });
        self.tell_debts();
        Ok(())
    }
}

impl Held {
    fn new(adoption: Adoption) -> Self {
        Self { state: watch::Sender::new(adoption.state()), adoption }
    }
}

impl Adoption {
    fn state(&self) -> MachineState {
        match &self.phase {
            Phase::Adopted => MachineState::Defined,
            Phase::InUse => MachineState::Running { resets: 0 },
            Phase::Released(ended) => MachineState::Ended(ended.clone()),
        }
    }
}

#[async_trait]
impl Adopting for Fleet {
    async fn adopt(&self, id: &MachineId, name: &str, pod: &[IpAddr]) -> Result<()> {
        if let Some(adoption) = self.adoption(id) {
            if adoption.machine == name {
                return Ok(());
            }
            return Err(Error::Invalid(format!("{id} has adopted machine {:?} already", adoption.machine)));
        }
        let inventory = self.inventory.current();
        let entry = inventory.entry(name).ok_or_else(|| {
            Error::Invalid(format!(
                "machine {name:?} does not stand in the inventory {}; add a [[machine]] of this name",
                self.inventory.path().display()
            ))
        })?;
        self.free(id, name, None)?;
        // Nobody waits for a server of names who has to do with another machine.
        let address = resolve(entry, pod).await?;
        let _turn = self.turn.lock().await;
        let adoption = Adoption {
            machine: name.to_owned(),
            address,
            transport: entry.transport,
            power_off: entry.power_off,
            phase: Phase::Adopted,
        };
        self.free(id, name, Some(adoption.door()))?;
        self.save(id, adoption).await
    }

    fn adopted(&self, id: &MachineId) -> Option<Adopted> {
        let Adoption { machine, address, power_off, .. } = self.adoption(id)?;
        Some(Adopted { name: machine, address, power_off })
    }

    fn holds(&self, id: &MachineId) -> bool {
        self.adoption(id).is_some_and(|adoption| adoption.holds())
    }

    async fn owe(&self, id: &MachineId, keys: Vec<String>) -> Result<()> {
        let _turn = self.turn.lock().await;
        let adoption = self.adoption(id).filter(Adoption::holds);
        let adoption = adoption.ok_or_else(|| Error::NotFound(id.to_string()))?;
        let (debts, of) = (Arc::clone(&self.debts), id.clone());
        blocking(move || debts.owe(&of, &adoption, keys)).await?;
        self.tell_debts();
        Ok(())
    }

    fn owes(&self, id: &MachineId) -> bool {
        self.debts.owes(id)
    }

    async fn paid(&self, id: &MachineId) -> Result<()> {
        let _turn = self.turn.lock().await;
        let (debts, of) = (Arc::clone(&self.debts), id.clone());
        blocking(move || debts.paid(&of)).await?;
        self.tell_debts();
        Ok(())
    }

    fn owed(&self) -> watch::Receiver<Vec<Owed>> {
        self.debts.due()
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn inventory(&self) -> Arc<Inventory> {
        self.inventory.current()
    }
}

#[async_trait]
impl Provider for Fleet {
    /// An inventory that became wrong is told in the log: what was read of it last goes on, and so does the node.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn define(&self, spec: &MachineSpec) -> Result<()> {
        Err(Error::Invalid(format!(
            "machine {} cannot be made from a disk: this provider has only machines that run already, whose images are \
             called fleet/NAME",
            spec.id
        )))
    }

    async fn start(&self, id: &MachineId) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut adoption = self.adoption(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        if adoption.phase == Phase::InUse {
            return Ok(());
        }
        self.free(id, &adoption.machine, Some(adoption.door()))?;
        adoption.phase = Phase::InUse;
        self.save(id, adoption).await
    }

    async fn watch(&self, id: &MachineId) -> Result<watch::Receiver<MachineState>> {
        Ok(self.with(|held| match held.get(id) {
            Some(held) => held.state.subscribe(),
            None => watch::Sender::new(MachineState::Absent).subscribe(),
        }))
    }

    /// Releases the machine, also one that was never started. It runs on, or shuts itself down, as its holder has asked it to.
    async fn stop(&self, id: &MachineId, _mode: StopMode) -> Result<()> {
        let _turn = self.turn.lock().await;
        let Some(mut adoption) = self.adoption(id).filter(Adoption::holds) else { return Ok(()) };
        let message = if adoption.phase == Phase::InUse && adoption.power_off {
            format!("machine {} of the fleet was released; it may have been shut down", adoption.machine)
        } else {
            format!("machine {} of the fleet was released, and runs on", adoption.machine)
        };
        adoption.phase = Phase::Released(Ended { cause: Cause::Released, at: SystemTime::now(), message });
        self.save(id, adoption).await
    }

    async fn destroy(&self, id: &MachineId) -> Result<()> {
        let _turn = self.turn.lock().await;
        let (root, of) = (self.root.clone(), id.clone());
        blocking(move || record::remove(&root, &of)).await?;
        if let Some(held) = self.with(|held| held.remove(id)) {
            held.state.send_replace(MachineState::Absent);
        }
        self.tell_debts();
        Ok(())
    }

    async fn list(&self) -> Result<Vec<MachineId>> {
        Ok(self.with(|held| held.keys().cloned().collect()))
    }

    fn adopting(&self) -> Option<&dyn Adopting> {
        Some(self)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::failed("the work on an adoption broke off", error)))
}
