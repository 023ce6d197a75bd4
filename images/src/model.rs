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
    /// The labels of its configuration.
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

/// What the store takes up on the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}
