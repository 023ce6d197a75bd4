//! What a machine shall be. Plain data, with units in the names and no Kubernetes in it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The name of a machine: 1 to 63 characters of `a-z`, `0-9` and `-`. The caller derives it from the pod's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

impl MachineId {
    /// Checks the characters and the length.
    pub fn new(id: impl Into<String>) -> Result<Self, crate::Error> {
        let id = id.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || id.len() > 63 || id.starts_with('-') || !id.bytes().all(allowed) {
            return Err(crate::Error::Invalid(format!(
                "machine id {id:?} is not 1 to 63 characters of a-z, 0-9 and '-'"
            )));
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MachineId {
    type Error = crate::Error;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.0
    }
}

/// Everything that a provider needs to know of a machine. Serialized it lacks the seed, which holds secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its name.
    pub id: MachineId,
    /// Virtual processors, at least 1.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// What starts the boot loader of the disk.
    pub firmware: Firmware,
    /// What the machine's clock shows when it starts.
    #[serde(default)]
    pub clock: Clock,
    /// Whether it shows itself as a Hyper-V to the guest where it runs by KVM: Windows is faster so.
    #[serde(default)]
    pub hyper_v: bool,
    /// The Trusted Platform Module that the guest finds in it.
    #[serde(default)]
    pub tpm: Tpm,
    /// The disk that the guest boots from.
    pub disk: RootDisk,
    /// Its one network card; none for a machine without a network.
    pub nic: Option<Nic>,
    /// A seed, for guests that read one.
    #[serde(skip)]
    pub seed: Option<Seed>,
    /// The cgroup, relative to the root of each hierarchy (`/kubepods/...`), that the machine's process joins.
    pub cgroup_parent: Option<String>,
    /// What a reset from inside the guest means.
    pub on_reset: OnReset,
}

/// The firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// `SeaBIOS`.
    #[default]
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF that boots only what is signed, by the keys in its variables (Microsoft's, as computers are sold).
    UefiSecure,
}

/// What a machine's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// UTC.
    #[default]
    Utc,
    /// The node's local time, which Windows takes it for.
    Local,
}

/// A machine's Trusted Platform Module. What it keeps is as old as the root disk, and goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Tpm {
    /// There is none.
    #[default]
    #[serde(rename = "none")]
    None,
    /// Version 2.0.
    #[serde(rename = "2.0")]
    V2,
}

/// The root disk: a read-only base that many machines share; each writes to an overlay of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootDisk {
    /// The base image, which nobody writes to.
    pub base: PathBuf,
    /// The format of the base. It is never guessed.
    pub format: DiskFormat,
    /// The controller that the guest sees.
    pub bus: DiskBus,
    /// The size that the guest sees in bytes, where it shall be larger than the base.
    pub size_bytes: Option<u64>,
}

/// The format of a disk image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU copy on write, version 2 or 3.
    Qcow2,
    /// The bytes of the disk.
    Raw,
}

/// The controller of the root disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    /// virtio-blk.
    #[default]
    Virtio,
    /// virtio-scsi.
    Scsi,
    /// AHCI.
    Sata,
    /// PIIX IDE, on a machine that has it.
    Ide,
}

/// A network card, connected to a tap device that exists already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nic {
    /// The network namespace that holds the tap, as a path (`/run/netns/...`). The machine's process runs in it.
    pub netns: PathBuf,
    /// The name of the tap in that namespace. It was made with `vnet_hdr`.
    pub tap: String,
    /// The hardware address that the guest sees, `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The card that the guest sees.
    pub model: NicModel,
}

/// The model of a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// virtio-net.
    #[default]
    Virtio,
    /// Intel 82540EM, for guests without virtio.
    E1000,
    /// Intel 82574L, for newer ones of these.
    E1000e,
}

/// The files of a seed. It may hold private host keys: it is kept from other users of the node.
#[derive(Clone)]
pub struct Seed {
    /// Who reads it.
    pub form: SeedForm,
    /// What shall be done: `user-data`.
    pub user_data: String,
    /// Who it is: `meta-data`.
    pub meta_data: String,
    /// `network-config`.
    pub network_config: String,
}

/// The layout of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeedForm {
    /// cloud-init's `NoCloud`: a volume `cidata`.
    #[default]
    NoCloud,
    /// `OpenStack`'s `ConfigDrive`, which cloudbase-init reads: a volume `config-2`. What is empty is left out.
    ConfigDrive,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed([redacted])")
    }
}

/// What a reset from inside the guest means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReset {
    /// The run ends with [`Cause::Reset`](crate::Cause::Reset).
    #[default]
    End,
    /// The guest boots again in the same machine.
    Continue,
}
