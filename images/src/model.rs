//! What the store tells of an image, and the bounds it works under.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::Facts;

/// An image in the store. Its disk is complete and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:...`: the digest of the image's configuration where it was pulled, of its disk where it was imported.
    pub id: String,
    /// References with a tag.
    pub tags: Vec<String>,
    /// References with a digest.
    pub digests: Vec<String>,
    /// The size on this node's disk in bytes.
    pub size_bytes: u64,
    /// Whether it was imported, and so is nowhere to be pulled from again.
    pub pinned: bool,
    /// The user that its configuration names.
    pub config_user: Option<String>,
    /// The facts that its labels tell.
    pub facts: Facts,
    /// The labels of its configuration, without the password.
    pub labels: std::collections::BTreeMap<String, String>,
    /// When it came into the store.
    pub created_at: SystemTime,
}

/// The disk that machines are based on. Read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseDisk {
    /// The file.
    pub path: PathBuf,
    /// `qcow2` or `raw`; never guessed.
    pub format: String,
    /// The size that a guest sees in bytes.
    pub virtual_size_bytes: u64,
}

/// The bounds of what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest virtual disk in bytes.
    pub virtual_size_bytes: u64,
    /// The most bytes that the layers of one image may unpack to.
    pub unpacked_bytes: u64,
}

/// What the CRI's `AuthConfig` says of a registry. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum RegistryAuth {
    /// No credential.
    #[default]
    Anonymous,
    /// User name and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A bearer token of the registry itself.
    Bearer(String),
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username}, [redacted])"),
            Self::Bearer(_) => f.write_str("Bearer([redacted])"),
        }
    }
}

/// How the registries are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    /// Hosts (`host` or `host:port`, exactly as references spell them) that are spoken to by plain HTTP.
    pub plain_http: Vec<String>,
    /// PEM files with certificate authorities that are trusted besides the node's own.
    pub ca_files: Vec<PathBuf>,
}

/// The format of a disk file that is imported. It is what the caller says, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportFormat {
    /// QEMU copy on write, version 2 or 3.
    Qcow2,
    /// The bytes of the disk.
    Raw,
    /// `VMware`, in one file (`monolithicSparse` or `streamOptimized`).
    Vmdk,
    /// Virtual PC and Azure, fixed or dynamic.
    Vhd,
    /// Hyper-V.
    Vhdx,
    /// `VirtualBox`.
    Vdi,
}

impl ImportFormat {
    /// The format that the ending of a file's name says, or none.
    pub fn from_extension(file: &std::path::Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "qcow2" => Self::Qcow2,
            "raw" => Self::Raw,
            "vmdk" => Self::Vmdk,
            "vhd" | "vpc" => Self::Vhd,
            "vhdx" => Self::Vhdx,
            "vdi" => Self::Vdi,
            _ => return None,
        })
    }

    /// The name that `qemu-img` has for it.
    pub(crate) fn qemu_name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How much of the step is done, 0 to 100.
    pub percent: f32,
}

/// The steps of an import, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The file is inspected.
    Check,
    /// It is converted to the store's own format.
    Convert,
    /// The result is verified and published.
    Publish,
}

/// What the store takes up on the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}
