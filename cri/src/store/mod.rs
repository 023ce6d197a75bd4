//! The daemon's memory: one embedded database with a record for each pod and each container.
//!
//! Every record is written before the effect that it announces is asked for, and is durable when the call returns.
//! A record is JSON under the pod's or container's id, so that a person can read it and a newer daemon can add a field.
//!
//! Failure paths: a second daemon on the same directory is refused by a lock; a record that cannot be read is an error
//! that names it, never a pod silently forgotten.

mod record;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use record::{
    ContainerPhase, ContainerRecord, Dns, ExitRecord, Keys, Mount, PodPhase, PodRecord, PortMapping,
    Resources,
};

use crate::error::{Error, Result};

const PODS: TableDefinition<&str, &[u8]> = TableDefinition::new("pods");
const CONTAINERS: TableDefinition<&str, &[u8]> = TableDefinition::new("containers");

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    _lock: Arc<File>,
}

impl Store {
    /// Opens the database in `state_dir`, alone.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let failed = |source: redb::Error| {
            Error::failed(format!("cannot open the database in {}", state_dir.display()), source)
        };
        let lock = lock(&state_dir.join("lock"), state_dir)?;
        let path = state_dir.join("state.redb");
        let database = Database::create(&path).map_err(|error| failed(error.into()))?;
        private(&path)?;
        let write = database.begin_write().map_err(|error| failed(error.into()))?;
        write.open_table(PODS).map_err(|error| failed(error.into()))?;
        write.open_table(CONTAINERS).map_err(|error| failed(error.into()))?;
        write.commit().map_err(|error| failed(error.into()))?;
        Ok(Self { database: Arc::new(database), _lock: Arc::new(lock) })
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
        let failed = |source: redb::Error| Error::failed(format!("cannot read {table}"), source);
        let read = self.database.begin_read().map_err(|error| failed(error.into()))?;
        let rows = read.open_table(table).map_err(|error| failed(error.into()))?;
        let mut found = Vec::new();
        for row in rows.iter().map_err(|error| failed(error.into()))? {
            let (id, value) = row.map_err(|error| failed(error.into()))?;
            found.push(serde_json::from_slice(value.value()).map_err(|source| {
                Error::failed(format!("the record {} in {table} is not readable", id.value()), source)
            })?);
        }
        Ok(found)
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
        let database = self.database.clone();
        let commit = move || -> Result<(), redb::Error> {
            let write = database.begin_write()?;
            {
                let mut rows = write.open_table(table)?;
                match &value {
                    Some(value) => rows.insert(id.as_str(), value.as_slice())?,
                    None => rows.remove(id.as_str())?,
                };
            }
            write.commit()?;
            Ok(())
        };
        tokio::task::spawn_blocking(commit)
            .await
            .map_err(|source| Error::failed("the database writer panicked", source))?
            .map_err(|source| Error::failed(format!("cannot write to {table}"), source))
    }
}

fn lock(path: &Path, state_dir: &Path) -> Result<File> {
    let failed = |source: std::io::Error| Error::failed(format!("cannot lock {}", path.display()), source);
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Conflict(format!(
            "another daemon uses the state directory {}; stop it, or give this one its own `state-dir`",
            state_dir.display()
        ))),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The records hold the keys of pods: nobody but root reads them.
fn private(path: &PathBuf) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| Error::failed(format!("cannot protect {}", path.display()), source))
}
