//! The durable record of what was asked of CNI and what it answered: written before each effect, by rename.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::error::{Error, Result};
use super::super::{Attachment, PodNetworkRequest};

/// One pod's record. No result: ADD may or may not have run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Entry {
    pub(in super::super) request: PodNetworkRequest,
    pub(in super::super) list: Value,
    pub(in super::super) result: Option<Value>,
    pub(in super::super) attachment: Option<Attachment>,
    pub(in super::super) joined: bool,
}

fn file(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.json"))
}

pub(in super::super) fn load(directory: &Path, id: &str) -> Result<Option<Entry>> {
    let path = file(directory, id);
    let failed = |error| Error::failed(format!("cannot read the network record {}", path.display()), error);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

pub(in super::super) fn save(directory: &Path, entry: &Entry) -> Result<()> {
    let path = file(directory, &entry.request.id);
    let write = || -> std::io::Result<()> {
        let partial = path.with_extension("partial");
        let mut out = std::fs::File::create(&partial)?;
        out.write_all(&serde_json::to_vec(entry)?)?;
        out.sync_all()?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write()
        .map_err(|error| Error::failed(format!("cannot write the network record {}", path.display()), error))
}

pub(in super::super) fn forget(directory: &Path, id: &str) -> Result<()> {
    let path = file(directory, id);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove the network record {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

pub(in super::super) fn list(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Error::failed(format!("cannot list {}", directory.display()), error))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect())
}
