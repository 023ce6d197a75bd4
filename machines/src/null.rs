//! A provider that runs nothing: every state changes at once, in memory. It is for measuring the daemon itself with
//! hundreds of pods, where real machines would only measure the emulator.
//!
//! It keeps the contract of [`Provider`], except that it forgets everything with its process: after a restart no
//! machine exists. A power button is always obeyed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Cause, Ended, Error, MachineId, MachineSpec, MachineState, Provider, Resize, Result, Share, StopMode,
    Usage,
};

/// Machines that exist in memory only.
#[derive(Debug, Default)]
pub struct NullProvider {
    machines: Mutex<BTreeMap<MachineId, watch::Sender<MachineState>>>,
}

impl NullProvider {
    /// A provider without machines.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<MachineId, watch::Sender<MachineState>>) -> T) -> T {
        let mut machines = self.machines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut machines)
    }
}

fn end(state: &mut MachineState, cause: Cause, message: &str) -> bool {
    let running = matches!(state, MachineState::Running { .. });
    if running {
        *state = MachineState::Ended(Ended { cause, at: SystemTime::now(), message: message.into() });
    }
    running
}

#[async_trait]
impl Provider for NullProvider {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn define(&self, spec: &MachineSpec) -> Result<()> {
        self.with(|machines| {
            machines.entry(spec.id.clone()).or_insert_with(|| watch::Sender::new(MachineState::Absent));
            machines[&spec.id].send_if_modified(|state| {
                let absent = *state == MachineState::Absent;
                if absent {
                    *state = MachineState::Defined;
                }
                absent
            });
        });
        Ok(())
    }

    async fn start(&self, id: &MachineId) -> Result<()> {
        self.with(|machines| {
            let machine = machines.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
            machine.send_if_modified(|state| match state {
                MachineState::Defined | MachineState::Ended(_) => {
                    *state = MachineState::Running { resets: 0 };
                    true
                }
                MachineState::Absent | MachineState::Running { .. } => false,
            });
            Ok(())
        })
    }

    async fn watch(&self, id: &MachineId) -> Result<watch::Receiver<MachineState>> {
        Ok(self.with(|machines| match machines.get(id) {
            Some(machine) => machine.subscribe(),
            None => watch::Sender::new(MachineState::Absent).subscribe(),
        }))
    }

    async fn stop(&self, id: &MachineId, mode: StopMode) -> Result<()> {
        self.with(|machines| {
            if let Some(machine) = machines.get(id) {
                machine.send_if_modified(|state| match mode {
                    StopMode::PowerButton => end(state, Cause::PoweredOff, "the power button was obeyed"),
                    StopMode::Force => end(state, Cause::Forced, "it was forced off"),
                });
            }
        });
        Ok(())
    }

    async fn destroy(&self, id: &MachineId) -> Result<()> {
        if let Some(machine) = self.with(|machines| machines.remove(id)) {
            machine.send_replace(MachineState::Absent);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<MachineId>> {
        Ok(self.with(|machines| machines.keys().cloned().collect()))
    }

    fn resizing(&self) -> Option<&dyn Resize> {
        Some(self)
    }

    /// A machine that is none uses nothing.
    async fn usage(&self, id: &MachineId) -> Result<Option<Usage>> {
        let runs = self.with(|machines| {
            machines.get(id).is_some_and(|machine| matches!(*machine.borrow(), MachineState::Running { .. }))
        });
        Ok(runs.then(|| Usage {
            at: SystemTime::now(),
            vcpu_time: Duration::ZERO,
            process_time: Duration::ZERO,
            resident_bytes: 0,
            disk_bytes: 0,
            memory_bytes: 0,
            guest_memory: None,
        }))
    }
}

/// A machine that is none may use whatever it is told.
#[async_trait]
impl Resize for NullProvider {
    async fn resize(&self, id: &MachineId, _share: Share) -> Result<()> {
        let runs = self.with(|machines| {
            machines.get(id).is_some_and(|machine| matches!(*machine.borrow(), MachineState::Running { .. }))
        });
        if runs { Ok(()) } else { Err(Error::NotReady(format!("machine {id} does not run"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, DiskBus, DiskFormat, Firmware, OnReset, RootDisk, Tpm};

    #[tokio::test]
    async fn states_change_at_once() {
        let provider = NullProvider::new();
        let id = MachineId::new("m").unwrap();
        let disk =
            RootDisk { base: "/b".into(), format: DiskFormat::Raw, bus: DiskBus::Virtio, size_bytes: None };
        let spec = MachineSpec {
            id: id.clone(),
            cpus: 1,
            memory_mib: 64,
            firmware: Firmware::Bios,
            clock: Clock::Utc,
            hyper_v: false,
            tpm: Tpm::None,
            disk,
            nic: None,
            seed: None,
            cgroup_parent: None,
            on_reset: OnReset::End,
        };
        assert!(provider.start(&id).await.is_err());
        provider.define(&spec).await.unwrap();
        let watch = provider.watch(&id).await.unwrap();
        assert_eq!(*watch.borrow(), MachineState::Defined);
        provider.start(&id).await.unwrap();
        assert_eq!(*watch.borrow(), MachineState::Running { resets: 0 });
        assert_eq!(provider.usage(&id).await.unwrap().unwrap().vcpu_time, Duration::ZERO);
        provider.stop(&id, StopMode::PowerButton).await.unwrap();
        assert!(matches!(&*watch.borrow(), MachineState::Ended(end) if end.cause == Cause::PoweredOff));
        assert_eq!(provider.usage(&id).await.unwrap(), None);
        assert_eq!(provider.list().await.unwrap(), std::slice::from_ref(&id));
        provider.destroy(&id).await.unwrap();
        assert_eq!(*watch.borrow(), MachineState::Absent);
        assert_eq!(provider.list().await.unwrap(), []);
    }
}
