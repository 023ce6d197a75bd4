//! The durable record of what was asked of CNI and what it answered, in two files a pod.
//!
//! `ID.json`, what was asked, is on the disk before the first effect and goes last: it alone brings about a DEL.
//! `ID.progress`, how far the pod got, is replaced by rename but not forced to the disk. A killed daemon finds it; where
//! the whole node went down, so did the namespaces, and a DEL without a result is what is due. One that cannot be read
//! counts as absent.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::error::{Error, Result};
use super::super::{Attachment, PodNetworkRequest};

/// One pod's record. No result: ADD may or may not have run.
#[derive(Debug, Clone)]
pub(in super::super) struct Entry {
    pub(in super::super) request: PodNetworkRequest,
    pub(in super::super) list: Value,
    pub(in super::super) result: Option<Value>,
    pub(in super::super) attachment: Option<Attachment>,
    pub(in super::super) joined: bool,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    request: PodNetworkRequest,
    list: Value,
}

#[derive(Default, Serialize, Deserialize)]
struct Progress {
    result: Option<Value>,
    attachment: Option<Attachment>,
    joined: bool,
}

fn asked(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.json"))
}

fn progress(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.progress"))
}

fn failed(what: &str, path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::failed(format!("cannot {what} the network record {}", path.display()), error)
}

pub(in super::super) fn load(directory: &Path, id: &str) -> Result<Option<Entry>> {
    let path = asked(directory, id);
    let Asked { request, list } = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed("read", &path, error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path, error)),
    };
    let path = progress(directory, id);
    let Progress { result, attachment, joined } = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(record = %path.display(), %error, "a network record is torn; it counts as absent");
            Progress::default()
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Progress::default(),
        Err(error) => return Err(failed("read", &path, error)),
    };
    Ok(Some(Entry { request, list, result, attachment, joined }))
}

/// Records what is asked, before any effect.
pub(in super::super) fn begin(directory: &Path, request: &PodNetworkRequest, list: Value) -> Result<Entry> {
    drop_file(&progress(directory, &request.id))?;
    let path = asked(directory, &request.id);
    let entry = Entry { request: request.clone(), list, result: None, attachment: None, joined: false };
    let asked = Asked { request: entry.request.clone(), list: entry.list.clone() };
    let write = || {
        replace(&path, &serde_json::to_vec(&asked)?, true)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().map_err(|error| failed("write", &path, error))?;
    Ok(entry)
}

/// Records how far a pod got.
pub(in super::super) fn save(directory: &Path, entry: &Entry) -> Result<()> {
    let path = progress(directory, &entry.request.id);
    let Entry { request: _, list: _, result, attachment, joined } = entry.clone();
    let write = || replace(&path, &serde_json::to_vec(&Progress { result, attachment, joined })?, false);
    write().map_err(|error: std::io::Error| failed("write", &path, error))
}

fn replace(path: &Path, bytes: &[u8], durably: bool) -> std::io::Result<()> {
    let partial = path.with_added_extension("partial");
    let mut out = std::fs::File::create(&partial)?;
    out.write_all(bytes)?;
    if durably {
        out.sync_all()?;
    }
    std::fs::rename(&partial, path)
}

pub(in super::super) fn forget(directory: &Path, id: &str) -> Result<()> {
    drop_file(&progress(directory, id))?;
    drop_file(&asked(directory, id))
}

fn drop_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, error)),
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
