//! A running machine is given less than it was booted with, or all of it again.
//!
//! ```text
//!   check (pure) --> processors: the quota of the machine's own cgroup --> memory: the balloon --BALLOON_CHANGE--> reached
//! ```
//!
//! Happy path: the kernel bounds the machine's process at once; the guest's balloon driver gives memory back, and QEMU
//! tells each step. Both outlive the daemon: the kernel and QEMU remember them, not we.
//!
//! Failure paths: more than the boot gave is refused before anything is done, since neither processors nor memory are
//! plugged in. A machine without a cgroup has nobody who would bound its processors. A guest without a balloon driver, or
//! without that much to give, is left as it was after [`PATIENCE`]. A guest that runs out of memory may take some back
//! instead of killing a program (`deflate-on-oom`): the balloon is a loan, the pod's cgroup is the wall.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;

use super::directory::Directory;
use super::qmp::{Qmp, QmpError};
use super::watcher::{ANSWER, Told};
use super::{Qemu, cgroup};
use crate::{Error, MachineId, MachineSpec, Resize, Result, Share};

/// How long a guest may take to give memory back.
const PATIENCE: Duration = Duration::from_secs(20);
/// The least memory that a guest is left with, in MiB.
const LEAST_MIB: u64 = 32;

#[async_trait]
impl Resize for Qemu {
    async fn resize(&self, id: &MachineId, share: Share) -> Result<()> {
        let machine = self.machine(id);
        let directory = &machine.directory;
        let (qmp, told) = {
            let mut watcher = machine.watcher.lock().await;
            self.recover(&machine, &mut watcher).await?;
            match watcher.as_ref().filter(|running| !running.is_over()) {
                Some(running) => (running.qmp.clone(), running.told()),
                None => return Err(Error::NotReady(format!("machine {id} does not run"))),
            }
        };
        let spec = directory.work(Directory::spec).await?;
        let spec = spec.ok_or_else(|| directory.failure("its specification is gone"))?;
        check(&spec, share)?;
        bound_cpu(directory, &spec, share).await?;
        let target = share.memory_bytes.map_or(u64::from(spec.memory_mib), |bytes| bytes >> 20) << 20;
        set_memory(directory, &qmp, told, target).await
    }
}

/// Whether a machine that was booted like this can have that.
fn check(spec: &MachineSpec, share: Share) -> Result<()> {
    let MachineSpec { id, cpus, memory_mib, .. } = spec;
    let refuse = |what: String| {
        Err(Error::Invalid(format!("machine {id} {what} while it runs; make its pod anew with the new size")))
    };
    if let Some(milli) = share.milli_cpus.filter(|milli| *milli > u64::from(*cpus) * 1000) {
        return refuse(format!(
            "was booted with {cpus} processor(s), and cannot have {}.{:03}",
            milli / 1000,
            milli % 1000
        ));
    }
    match share.memory_bytes.map(|bytes| bytes >> 20) {
        Some(mib) if mib > u64::from(*memory_mib) => {
            refuse(format!("was booted with {memory_mib} MiB of memory, and cannot have {mib} MiB"))
        }
        Some(mib) if mib < LEAST_MIB => {
            refuse(format!("cannot be left with {mib} MiB of memory (the least is {LEAST_MIB})"))
        }
        _ => Ok(()),
    }
}

/// Bounds the time of all of the machine's threads. All of its processors need no bound.
async fn bound_cpu(directory: &Directory, spec: &MachineSpec, share: Share) -> Result<()> {
    let bound = share.milli_cpus.filter(|milli| *milli < u64::from(spec.cpus) * 1000);
    let bounding = directory.work(move |directory| {
        let groups = directory.run_record()?.map(|record| record.cgroups).unwrap_or_default();
        cgroup::bound_cpu(&groups, directory.id(), bound)
            .map_err(|error| directory.failed("its processors cannot be bounded", error))
    });
    if bounding.await? || bound.is_none() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "machine {} has no cgroup with the controller `cpu` that could bound its processors; give its pod a cgroup, or \
         make it anew with the new size",
        spec.id
    )))
}

/// Has the guest give memory back, or gives it some.
async fn set_memory(
    directory: &Directory,
    qmp: &Qmp,
    mut told: watch::Receiver<Told>,
    target: u64,
) -> Result<()> {
    let failed = |error: QmpError| directory.failed("its balloon does not answer", error);
    let before = memory(qmp).await.map_err(failed)?;
    if before == target {
        return Ok(());
    }
    set_balloon(qmp, target).await.map_err(failed)?;
    let reached = async {
        loop {
            told.mark_unchanged();
            if memory(qmp).await? == target {
                return Ok(());
            }
            if told.changed().await.is_err() {
                return Err(QmpError::Closed);
            }
        }
    };
    if let Ok(reached) = tokio::time::timeout(PATIENCE, reached).await {
        return reached.map_err(failed);
    }
    let now = memory(qmp).await.map_err(failed)?;
    set_balloon(qmp, before).await.map_err(failed)?;
    Err(Error::Invalid(format!(
        "the guest of machine {} has {} MiB of memory, and did not come to {} MiB within {} s; it needs its balloon driver \
         (virtio_balloon) and as much free memory; or make its pod anew with the new size",
        directory.id(),
        now >> 20,
        target >> 20,
        PATIENCE.as_secs()
    )))
}

async fn set_balloon(qmp: &Qmp, bytes: u64) -> Result<(), QmpError> {
    qmp.execute("balloon", json!({ "value": bytes }), ANSWER).await.map(drop)
}

/// The memory that the guest has now, in bytes.
async fn memory(qmp: &Qmp) -> Result<u64, QmpError> {
    let told = qmp.execute("query-balloon", json!({}), ANSWER).await?;
    told["actual"].as_u64().ok_or(QmpError::Protocol("the balloon's size is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, DiskBus, DiskFormat, Firmware, OnReset, RootDisk, Tpm};

    #[test]
    fn more_than_the_boot_gave_is_refused_with_the_remedy() {
        let spec = MachineSpec {
            id: MachineId::new("m").unwrap(),
            cpus: 2,
            memory_mib: 512,
            firmware: Firmware::Bios,
            clock: Clock::Utc,
            hyper_v: false,
            tpm: Tpm::None,
            disk: RootDisk {
                base: "/base".into(),
                format: DiskFormat::Raw,
                bus: DiskBus::Virtio,
                size_bytes: None,
            },
            nic: None,
            seed: None,
            cgroup_parent: None,
            on_reset: OnReset::End,
        };
        let told = |milli_cpus, memory_bytes| {
            check(&spec, Share { milli_cpus, memory_bytes }).map_err(|error| error.to_string())
        };
        assert_eq!(told(None, None), Ok(()));
        // What is less than a MiB was not given at the boot either.
        assert_eq!(told(Some(2000), Some((512 << 20) + 4095)), Ok(()));
        assert!(told(Some(2001), None).unwrap_err().contains("2 processor(s), and cannot have 2.001"));
        assert!(
            told(None, Some(513 << 20)).unwrap_err().contains("513 MiB while it runs; make its pod anew")
        );
        assert!(told(None, Some(31 << 20)).unwrap_err().contains("the least is 32"));
    }
}
