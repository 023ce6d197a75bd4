//! What an image needs to be known by whoever runs it.
//!
//! Facts travel in the image's OCI labels (`io.infranetes.<fact>`), or stand in the configuration by a pattern of the
//! image's name. The configuration wins, fact by fact.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The facts of an image. What is absent is unknown, and the runtime's default holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Facts {
    /// The user to log in as.
    pub user: Option<String>,
    /// How to prove that we may. Absent: a key is made for each pod and given to cloud-init.
    pub credential: Option<Credential>,
    /// The public keys or fingerprints of the guest's host keys, where they are part of the image.
    pub host_keys: Vec<String>,
    /// The guest's certificates, or their fingerprints, where its protocol shows such.
    pub certificates: Vec<String>,
    /// A file on the node with the authorities one of which vouches for the guest's certificate.
    pub certificate_authority: Option<PathBuf>,
    /// The name that they vouch for. Absent: the address that the guest is reached at.
    pub certificate_name: Option<String>,
    /// The guest's name in its domain, by which Kerberos knows it.
    pub host_name: Option<String>,
    /// Whether the first host key or certificate shown is trusted. The configuration alone may say so, never a label.
    pub trust_on_first_use: Option<bool>,
    /// The guest's operating system.
    pub os: Option<Os>,
    /// The protocol that the guest speaks.
    pub transport: Option<Transport>,
    /// What that is carried by, where there is a choice: `https` or `http`. Absent: as the port says.
    pub scheme: Option<String>,
    /// How one logs in, where only one way may be used: `negotiate`, `ntlm`, `basic`, `kerberos`, or `credssp`, which hands the
    /// password over. The configuration alone may say the last two, never a label.
    pub authentication: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Algorithms beyond the safe default that the guest needs.
    pub legacy_algorithms: Vec<String>,
    /// Whether the guest reads a `NoCloud` seed. Absent: yes, unless a credential is given.
    pub cloud_init: Option<bool>,
    /// Whether the guest is given an `OpenStack` `ConfigDrive`, which cloudbase-init reads.
    pub config_drive: Option<bool>,
    /// The firmware.
    pub firmware: Option<String>,
    /// What the machine's clock shows: `utc`, or `local` as Windows takes it.
    pub clock: Option<String>,
    /// Whether the guest is shown a Hyper-V, which Windows makes use of.
    pub hyper_v: Option<bool>,
    /// The Trusted Platform Module that the guest finds: `2.0`, or `none`.
    pub tpm: Option<String>,
    /// The bus of the root disk.
    pub disk_bus: Option<String>,
    /// The model of the network card.
    pub nic: Option<String>,
    /// Where the guest's log is: `journal`, `journal:UNIT`, `file:/PATH` or `console`; of Windows `eventlog:CHANNEL`,
    /// `file:C:\PATH` or `console`.
    pub log: Option<String>,
    /// Virtual processors, where the pod does not say.
    pub cpus: Option<u32>,
    /// Memory in MiB, where the pod does not say.
    pub memory_mib: Option<u32>,
    /// The size of the root disk in GiB, where it shall be larger than the image.
    pub disk_gib: Option<u32>,
    /// How long the guest may take to answer after it was started, in seconds.
    pub boot_deadline_seconds: Option<u64>,
}

/// How to prove to a guest that we may log in. Secrets stand in files, or in a label where they are no secret
/// (the well-known password of a published image).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Credential {
    /// A file on the node with a private key.
    KeyFile(PathBuf),
    /// A file on the node with a password.
    PasswordFile(PathBuf),
    /// A password that everyone knows.
    Password(String),
    /// The tickets that the node has for the user, which Kerberos takes.
    Tickets,
}

impl Facts {
    /// The facts as they may be shown to anyone: a password is replaced.
    #[must_use]
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        if let Some(Credential::Password(password)) = &mut shown.credential {
            "[redacted]".clone_into(password);
        }
        shown
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyFile(path) => f.debug_tuple("KeyFile").field(path).finish(),
            Self::PasswordFile(path) => f.debug_tuple("PasswordFile").field(path).finish(),
            Self::Password(_) => f.write_str("Password([redacted])"),
            Self::Tickets => f.write_str("Tickets"),
        }
    }
}

/// The operating system of a guest: what it is driven by, whatever the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux.
    #[default]
    Linux,
    /// Windows.
    Windows,
}

/// The protocol that a guest speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// SSH.
    #[default]
    Ssh,
    /// `WinRM`.
    Winrm,
}
