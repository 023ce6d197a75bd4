//! The daemon's memory: one embedded database with a record for each pod and each container.
//!
//! Every record is written before the effect that it announces is asked for, and is durable when the call returns.
//! A record is JSON under the pod's or container's id, so that a person can read it and a newer daemon can add a field.
//!
//! Failure paths: a storage that failed once (a full disk) refuses everything until it is opened anew, so a failed write
//! opens it again and is repeated once; [`Store::check`] tells until it succeeds. A second daemon on the same directory is
//! refused by a lock, which is waited for a moment: one that was killed while it started a program leaves it to that, until it
//! runs. A record that cannot be read is an error that names it, never a pod silently forgotten.

mod process;
mod record;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use process::{ProcessRecord, ProcessStdin, ProcessUser};
pub use record::{
    ContainerPhase, ContainerRecord, Dns, ExitRecord, Keys, Mount, PodPhase, PodRecord, PortMapping,
    Resources, Role,
};

use crate::error::{Error, Result};

const PODS: TableDefinition<&str, &[u8]> = TableDefinition::new("pods");
const CONTAINERS: TableDefinition<&str, &[u8]> = TableDefinition::new("containers");

/// What of the file is kept in memory: it is read at the start, and else only written.
const CACHE_BYTES: usize = 1 << 20;

/// How long the lock of a daemon that was killed may be held by what it was just starting.
const LEFT_BEHIND: Duration = Duration::from_secs(3);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// None after a failure, until it could be opened again.
    database: Mutex<Option<Database>>,
    _lock: File,
}

impl Store {
    /// Opens the database in `state_dir`, alone.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let lock = lock(&state_dir.join("lock"), state_dir)?;
        let path = state_dir.join("state.redb");
        let shared = Shared { path, database: Mutex::new(None), _lock: lock };
        shared.with(|database| {
            let write = database.begin_write()?;
            write.open_table(PODS)?;
            write.open_table(CONTAINERS)?;
            Ok(write.commit()?)
        })?;
        private(&shared.path)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether records can be written.
    pub fn check(&self) -> Result<()> {
        self.shared.with(|_| Ok(()))
    }

    /// Every pod.
    pub fn pods(&self) -> Result<Vec<PodRecord>> {
        self.all(PODS)
    }

    /// Every container.
    pub fn containers(&self) -> Result<Vec<ContainerRecord>> {
        self.all(CONTAINERS)
    }

    /// Writes a pod's record.
    pub async fn put_pod(&self, pod: &PodRecord) -> Result<()> {
        self.put(PODS, &pod.id, pod).await
    }

    /// Writes a container's record.
    pub async fn put_container(&self, container: &ContainerRecord) -> Result<()> {
        self.put(CONTAINERS, &container.id, container).await
    }

    /// Forgets a pod.
    pub async fn delete_pod(&self, id: &str) -> Result<()> {
        self.write(PODS, id.to_owned(), None).await
    }

    /// Forgets a container.
    pub async fn delete_container(&self, id: &str) -> Result<()> {
        self.write(CONTAINERS, id.to_owned(), None).await
    }

    fn all<T: DeserializeOwned>(&self, table: TableDefinition<'static, &str, &[u8]>) -> Result<Vec<T>> {
        let rows = self.shared.with(|database| {
            let mut rows = Vec::new();
            for row in database.begin_read()?.open_table(table)?.iter()? {
                let (id, value) = row?;
                rows.push((id.value().to_owned(), value.value().to_vec()));
            }
            Ok(rows)
        })?;
        let read = |(id, value): (String, Vec<u8>)| {
            serde_json::from_slice(&value).map_err(|source| {
                Error::failed(format!("the record {id} in {table} is not readable"), source)
            })
        };
        rows.into_iter().map(read).collect()
    }

    async fn put(
        &self,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
        id: &str,
        record: &impl Serialize,
    ) -> Result<()> {
        let value = serde_json::to_vec(record)
            .map_err(|source| Error::failed(format!("cannot write the record {id}"), source))?;
        self.write(table, id.to_owned(), Some(value)).await
    }

    async fn write(
        &self,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
        id: String,
        value: Option<Vec<u8>>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let commit = move || {
            shared.with(|database| {
                let write = database.begin_write()?;
                {
                    let mut rows = write.open_table(table)?;
                    match &value {
                        Some(value) => rows.insert(id.as_str(), value.as_slice())?,
                        None => rows.remove(id.as_str())?,
                    };
                }
                Ok(write.commit()?)
            })
        };
        tokio::task::spawn_blocking(commit)
            .await
            .map_err(|source| Error::failed("the database writer panicked", source))?
    }
}

impl Shared {
    /// Works with the database. One that has failed is closed, opened again, and worked with once more.
    fn with<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempt = || {
            let database = match held.take() {
                Some(database) => database,
                None => Database::builder().set_cache_size(CACHE_BYTES).create(&self.path)?,
            };
            let done = work(&database)?;
            *held = Some(database);
            Ok(done)
        };
        attempt().or_else(|_: redb::Error| attempt()).map_err(|source| {
            Error::failed(
                format!("the records in {} cannot be used; free space on its disk", self.path.display()),
                source,
            )
        })
    }
}

fn lock(path: &Path, state_dir: &Path) -> Result<File> {
    let failed = |source: std::io::Error| Error::failed(format!("cannot lock {}", path.display()), source);
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let (sender, taken) = mpsc::sync_channel(1);
    // The kernel tells when it is free, and knows no deadline.
    std::thread::spawn(move || sender.send(file.lock().map(|()| file)));
    match taken.recv_timeout(LEFT_BEHIND) {
        Ok(locked) => locked.map_err(failed),
        Err(_) => Err(Error::Conflict(format!(
            "another daemon uses the state directory {}; stop it, or give this one its own `state-dir`",
            state_dir.display()
        ))),
    }
}

/// The records hold the keys of pods: nobody but root reads them.
fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| Error::failed(format!("cannot protect {}", path.display()), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_left_behind_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path, folder.path()).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| lock(&path, folder.path()));
            std::thread::park_timeout(LEFT_BEHIND / 10);
            assert!(!next.is_finished());
            drop(held);
            next.join().unwrap().unwrap();
        });
        let _held = lock(&path, folder.path()).unwrap();
        let refusal = lock(&path, folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("another daemon") && refusal.contains("state-dir"), "{refusal}");
    }
}
