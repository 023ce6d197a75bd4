//! What an image's directory says of it: `image.json`. Names stand elsewhere, for they move between images.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::layout::write_whole;
use crate::{BaseDisk, Error, Facts, Result};

/// The largest record that is read, in bytes: labels are bounded by the configuration's size, which is less.
const LARGEST: u64 = 16 << 20;

/// The record of one image. Written once, before the image is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// `sha256:...`.
    pub(crate) id: String,
    /// `qcow2` or `raw`, decided when the image came in and never again.
    pub(crate) format: String,
    /// What a guest sees, in bytes.
    pub(crate) virtual_size_bytes: u64,
    /// On this node's disk, in bytes.
    pub(crate) size_bytes: u64,
    /// Whether it was imported.
    pub(crate) pinned: bool,
    /// The user that the configuration names.
    pub(crate) config_user: Option<String>,
    /// What the labels say.
    pub(crate) facts: Facts,
    /// The labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The digests of the layers it was unpacked from, in the manifest's order.
    pub(crate) layers: Vec<String>,
    /// When it came into the store.
    pub(crate) created_at: SystemTime,
}

impl Record {
    /// Reads the record of an image's directory.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("image.json");
        let failed = |source| Error::failed(format!("cannot read {}", path.display()), source);
        let mut text = Vec::new();
        File::open(&path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|source| {
            Error::failed(format!("{} is damaged; remove the image", path.display()), source)
        })
    }

    /// Writes it into an image's directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::failed(format!("cannot encode the record of {}", self.id), source))?;
        write_whole(&directory.join("image.json"), &text)
    }

    /// The id without `sha256:`.
    pub(crate) fn hex(&self) -> &str {
        self.id.strip_prefix("sha256:").unwrap_or(&self.id)
    }

    /// The disk in an image's directory.
    pub(crate) fn base(&self, directory: &Path) -> BaseDisk {
        BaseDisk {
            path: directory.join(format!("disk.{}", self.format)),
            format: self.format.clone(),
            virtual_size_bytes: self.virtual_size_bytes,
        }
    }
}
