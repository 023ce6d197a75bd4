//! What a specification may ask for. A pure function; each refusal says what to change.

use crate::{DiskBus, Error, Firmware, MachineSpec, Nic, Result};

/// The most virtual processors that the machine models carry.
const CPUS: std::ops::RangeInclusive<u32> = 1..=255;
/// The least memory in MiB that the firmware itself comes up in.
const BIOS_MEMORY_MIB: u32 = 32;
const UEFI_MEMORY_MIB: u32 = 256;

/// Checks a specification, and that its paths are absolute. Files are not looked at.
pub(crate) fn specification(spec: &MachineSpec) -> Result<()> {
    let refuse = |why: String| Err(Error::Invalid(format!("machine {}: {why}", spec.id)));
    if !CPUS.contains(&spec.cpus) {
        return refuse(format!("{} processors are not between 1 and 255", spec.cpus));
    }
    let least = match spec.firmware {
        Firmware::Bios => BIOS_MEMORY_MIB,
        Firmware::Uefi | Firmware::UefiSecure => UEFI_MEMORY_MIB,
    };
    if spec.firmware == Firmware::UefiSecure && spec.disk.bus == DiskBus::Ide {
        return refuse(
            "the machine that has an IDE disk has no secure boot; give the disk another bus".into(),
        );
    }
    if spec.memory_mib < least {
        return refuse(format!("{} MiB of memory are too small, give it at least {least}", spec.memory_mib));
    }
    if !spec.disk.base.is_absolute() {
        return refuse(format!("the base image {} is not an absolute path", spec.disk.base.display()));
    }
    if spec.disk.size_bytes.is_some_and(|size| size % 512 != 0) {
        return refuse("the disk's size is not a multiple of 512 bytes".into());
    }
    match &spec.nic {
        Some(nic) => card(nic).or_else(refuse),
        None => Ok(()),
    }
}

fn card(nic: &Nic) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if nic.tap.is_empty() || nic.tap.len() > 15 || !nic.tap.bytes().all(plain) {
        return Err(format!("{:?} is not the name of a network interface", nic.tap));
    }
    let parts: Vec<_> = nic.mac.split(':').collect();
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
        .collect();
    match bytes.as_deref() {
        Some([first, _, _, _, _, _]) if first & 1 == 0 => {}
        Some([_, _, _, _, _, _]) => return Err(format!("the hardware address {} is a group's", nic.mac)),
        _ => return Err(format!("{:?} is not a hardware address like 52:54:00:12:34:56", nic.mac)),
    }
    if !(68..=65535).contains(&nic.mtu) {
        return Err(format!("an MTU of {} bytes is not between 68 and 65535", nic.mtu));
    }
    if !nic.netns.is_absolute() {
        return Err(format!("the network namespace {} is not an absolute path", nic.netns.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, DiskFormat, MachineId, NicModel, OnReset, RootDisk, Tpm};

    fn refusal(change: impl FnOnce(&mut MachineSpec)) -> String {
        let mut spec = MachineSpec {
            id: MachineId::new("m").unwrap(),
            cpus: 1,
            memory_mib: 64,
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
            nic: Some(Nic {
                netns: "/run/netns/a".into(),
                tap: "tap0".into(),
                mac: "52:54:00:00:00:01".into(),
                mtu: 1500,
                model: NicModel::Virtio,
            }),
            seed: None,
            cgroup_parent: None,
            on_reset: OnReset::End,
        };
        specification(&spec).unwrap();
        change(&mut spec);
        let error = specification(&spec).unwrap_err();
        assert!(!error.retryable());
        error.to_string()
    }

    #[test]
    fn each_refusal_says_what_to_change() {
        let nic = |change: fn(&mut Nic)| refusal(|spec| change(spec.nic.as_mut().unwrap()));
        assert_eq!(refusal(|s| s.cpus = 0), "machine m: 0 processors are not between 1 and 255");
        assert!(refusal(|s| s.memory_mib = 8).contains("at least 32"));
        assert!(refusal(|s| s.firmware = Firmware::Uefi).contains("at least 256"));
        let secure = refusal(|s| {
            (s.firmware, s.memory_mib, s.disk.bus) = (Firmware::UefiSecure, 256, DiskBus::Ide);
        });
        assert!(secure.contains("another bus"), "{secure}");
        assert!(refusal(|s| s.disk.base = "base".into()).contains("absolute"));
        assert!(refusal(|s| s.disk.size_bytes = Some(513)).contains("multiple of 512"));
        assert!(nic(|n| n.tap = "tap0,script=/x".into()).contains("not the name"));
        assert!(nic(|n| n.mac = "52:54:00:00:00:01,id=x".into()).contains("not a hardware address"));
        assert!(nic(|n| n.mac = "01:00:5e:00:00:01".into()).contains("group"));
        assert!(nic(|n| n.mtu = 1).contains("MTU"));
    }
}
