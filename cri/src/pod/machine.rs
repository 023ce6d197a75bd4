//! The machine of a container: what it shall be, worked out from the pod, the image and the configuration.

use machines::{DiskFormat, MachineId, MachineSpec, Nic, RootDisk};
use sha2::{Digest, Sha256};

use super::facts::{self, Hardware};
use super::{Context, seed, size};
use crate::error::{Error, Result};
use crate::network::Attachment;
use crate::store::{ContainerRecord, PodRecord};

/// The id of a container: the same for the same pod, name and attempt, so that a repeated request finds the first's.
pub(super) fn container_id(pod: &str, name: &str, attempt: u32) -> String {
    let mut id = hex(&Sha256::digest(format!("{pod}\n{name}\n{attempt}")));
    id.truncate(32);
    id
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The machine's name is the container's id.
pub(super) fn machine_id(container: &str) -> Result<MachineId> {
    Ok(MachineId::new(container)?)
}

/// The specification of a container's machine.
pub(super) async fn spec(
    context: &Context,
    pod: &PodRecord,
    container: &ContainerRecord,
    attachment: &Attachment,
) -> Result<MachineSpec> {
    let base = context.images.base(&container.image_id).await?;
    let hardware = Hardware::of(&container.facts)?;
    let size = size::size(container.resources, pod.resources, &container.facts, &context.config.machine)?;
    let format = match base.format.as_str() {
        "qcow2" => DiskFormat::Qcow2,
        "raw" => DiskFormat::Raw,
        other => {
            return Err(Error::invalid(format!(
                "image {} has the unknown format {other:?}",
                container.image
            )));
        }
    };
    let seed = if facts::seeded(&container.facts, &pod.annotations) {
        Some(seed::seed(pod, &container.id, facts::user(&container.facts), attachment))
    } else {
        (container.facts.config_drive == Some(true)).then(|| seed::config_drive(pod, &container.id))
    };
    Ok(MachineSpec {
        id: container.machine.clone(),
        cpus: size.cpus,
        memory_mib: size.memory_mib,
        firmware: hardware.firmware,
        clock: hardware.clock,
        hyper_v: hardware.hyper_v,
        tpm: hardware.tpm,
        disk: RootDisk {
            base: base.path,
            format,
            bus: hardware.disk_bus,
            size_bytes: container.facts.disk_gib.map(|gib| u64::from(gib) << 30),
        },
        nic: attachment.has_tap().then(|| Nic {
            netns: attachment.netns.clone(),
            tap: attachment.tap.clone(),
            mac: attachment.mac.clone(),
            mtu: attachment.mtu,
            model: hardware.nic,
        }),
        seed,
        cgroup_parent: (!pod.cgroup_parent.is_empty()).then(|| pod.cgroup_parent.clone()),
        on_reset: facts::on_reset(&pod.annotations)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_derived_and_fits_a_machine() {
        let id = container_id("p", "app", 0);
        assert_eq!(id, container_id("p", "app", 0));
        assert_ne!(id, container_id("p", "app", 1));
        assert_ne!(id, container_id("p", "app2", 0));
        assert_eq!(id.len(), 32);
        assert!(machine_id(&id).is_ok());
    }
}
