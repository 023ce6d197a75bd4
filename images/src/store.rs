//! The store's calls.
//!
//! Everything that changes names, images or leases holds the lock of the store for that moment alone; downloads,
//! unpacking and conversions happen outside of it. Files are read and written on threads that may block.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::blob::Blobs;
use crate::layout::{Layout, directory, sync_directory};
use crate::manifest::Manifest;
use crate::names::Names;
use crate::record::Record;
use crate::reference::{Lookup, lookup};
use crate::work::{Work, entries, remove_tree, sweep};
use crate::{
    BaseDisk, Error, Image, ImportFormat, Limits, Progress, Registries, RegistryAuth, Result, Usage, import,
    lease, lock, pull,
};

/// A partial download that nobody has gone on with for so long is thrown away.
const PART_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of images. Cheap to clone; several processes may have the same directory open.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What the clones of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    pub(crate) blobs: Blobs,
    /// Pulls of one image take turns, for each registry of their own.
    turns: StdMutex<HashMap<String, Weak<Mutex<()>>>>,
}

/// The names that a new image gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewNames {
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
}

impl Store {
    /// Opens the store, making it where it is not there. What killed processes left half done is removed.
    pub async fn open(root: &Path, limits: Limits) -> Result<Self> {
        let root = root.to_owned();
        let layout = blocking(move || {
            let layout = Layout::create(&root)?;
            let _lock = lock::exclusive(&layout.lock())?;
            sweep(&layout, Duration::ZERO)?;
            Ok(layout)
        })
        .await?;
        let shared = Shared { layout, limits, blobs: Blobs::default(), turns: StdMutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Every image, the oldest first.
    pub async fn list(&self) -> Result<Vec<Image>> {
        let layout = self.shared.layout.clone();
        blocking(move || {
            let _lock = lock::shared(&layout.lock())?;
            let names = Names::read(&layout.names())?;
            let mut images = Vec::new();
            for record in records(&layout)? {
                images.push(image(record, &names));
            }
            images.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
            Ok(images)
        })
        .await
    }

    /// The image that a reference (without a tag: `latest`), an id (with or without `sha256:`) or at least 12 first
    /// digits of an id mean.
    pub async fn find(&self, reference_or_id: &str) -> Result<Option<Image>> {
        self.shared.find(reference_or_id).await
    }

    /// Brings an image from its registry into the store, or its name up to date.
    ///
    /// The manifest is fetched with this caller's credential every time. May be cancelled by dropping the future.
    pub async fn pull(&self, reference: &str, auth: &RegistryAuth, registries: &Registries) -> Result<Image> {
        let layout = self.shared.layout.clone();
        blocking(move || {
            let _lock = lock::exclusive(&layout.lock())?;
            sweep(&layout, PART_KEPT)
        })
        .await?;
        pull::pull(&self.shared, reference, auth, registries).await
    }

    /// Makes a disk file an image called `infranetes.local/<name>`, pinned. `progress` is called with every step.
    pub async fn import(
        &self,
        file: &Path,
        format: ImportFormat,
        name: &str,
        progress: impl Fn(Progress) + Send,
    ) -> Result<Image> {
        import::import(&self.shared, file, format, name, progress).await
    }

    /// By an id: removes the image with all its names. By a name: takes the name away, and removes the image with its
    /// last one. What is absent is fine; what machines are based on is [`Error::InUse`].
    pub async fn remove(&self, reference_or_id: &str) -> Result<()> {
        let layout = self.shared.layout.clone();
        let lookup = lookup(reference_or_id)?;
        blocking(move || {
            let lock = lock::exclusive(&layout.lock())?;
            let mut names = Names::read(&layout.names())?;
            let Some((record, by_name)) = resolve(&layout, &names, &lookup)? else { return Ok(()) };
            if let Some(name) = &by_name {
                let (tags, digests) = names.of(&record.id);
                let last = match (tags.as_slice(), digests.as_slice()) {
                    // With the last tag the image goes, though it could still be named by its digest.
                    ([only], _) | ([], [only]) => only == name,
                    _ => false,
                };
                if !last {
                    names.tags.remove(name);
                    names.digests.remove(name);
                    return names.write(&layout.names());
                }
            }
            let holders = lease::holders(&layout, record.hex())?;
            if !holders.is_empty() {
                return Err(Error::InUse {
                    image: by_name.unwrap_or(record.id),
                    holders: holders.join(", "),
                });
            }
            names.forget(&record.id);
            names.write(&layout.names())?;
            let trash = layout.work().join(format!("{:032x}", rand::random::<u128>()));
            let _held = lock::exclusive(&trash.with_extension("lock"))?;
            fs::rename(layout.image(record.hex()), &trash)
                .and_then(|()| sync_directory(&layout.images()))
                .map_err(|source| Error::failed(format!("cannot remove the image {}", record.id), source))?;
            drop(lock);
            remove_tree(&trash);
            crate::work::remove_file(&trash.with_extension("lock"));
            Ok(())
        })
        .await
    }

    /// The base disk of an image, by its id.
    pub async fn base(&self, id: &str) -> Result<BaseDisk> {
        self.with_image(id, |layout, record| Ok(record.base(&layout.image(record.hex())))).await
    }

    /// Notes durably that `holder` bases a machine on the image; again is fine. A holder is 1 to 200 letters, digits,
    /// `.`, `-` and `_`.
    pub async fn lease(&self, id: &str, holder: &str) -> Result<()> {
        let holder = holder.to_owned();
        self.with_image(id, move |layout, record| lease::add(layout, record.hex(), &holder)).await
    }

    /// Takes the note away; absent is fine, be it the note or the image.
    pub async fn release(&self, id: &str, holder: &str) -> Result<()> {
        let holder = holder.to_owned();
        match self.with_image(id, move |layout, record| lease::remove(layout, record.hex(), &holder)).await {
            Err(Error::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Every lease: the image's id and the holder.
    pub async fn leases(&self) -> Result<Vec<(String, String)>> {
        let layout = self.shared.layout.clone();
        blocking(move || {
            let _lock = lock::shared(&layout.lock())?;
            let mut leases = Vec::new();
            for record in records(&layout)? {
                let holders = lease::holders(&layout, record.hex())?;
                leases.extend(holders.into_iter().map(|holder| (record.id.clone(), holder)));
            }
            Ok(leases)
        })
        .await
    }

    /// What the store takes up, downloads and unpacking included.
    pub async fn usage(&self) -> Result<Usage> {
        disk_usage(self.shared.layout.root().to_owned()).await
    }

    async fn with_image<T: Send + 'static>(
        &self,
        id: &str,
        work: impl FnOnce(&Layout, &Record) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let layout = self.shared.layout.clone();
        let id = id.to_owned();
        let lookup = lookup(&id)?;
        blocking(move || {
            let _lock = lock::exclusive(&layout.lock())?;
            let names = Names::read(&layout.names())?;
            match resolve(&layout, &names, &lookup)? {
                Some((record, _)) => work(&layout, &record),
                None => Err(Error::NotFound(id)),
            }
        })
        .await
    }
}

impl Shared {
    /// See [`Store::find`].
    pub(crate) async fn find(&self, reference_or_id: &str) -> Result<Option<Image>> {
        let layout = self.layout.clone();
        let lookup = lookup(reference_or_id)?;
        blocking(move || {
            let _lock = lock::shared(&layout.lock())?;
            let names = Names::read(&layout.names())?;
            Ok(resolve(&layout, &names, &lookup)?.map(|(record, _)| image(record, &names)))
        })
        .await
    }

    /// The lock under which pulls of one image from one registry take turns.
    pub(crate) fn turn(&self, host: &str, id: &str) -> Arc<Mutex<()>> {
        let key = format!("{host} {id}");
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Mutex::default());
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }

    /// Adds names to an image that is in the store already, made of the very same layers.
    pub(crate) async fn name_known(&self, manifest: &Manifest, names: &NewNames) -> Result<Option<Image>> {
        let layout = self.layout.clone();
        let (manifest, new) = (manifest.clone(), names.clone());
        blocking(move || {
            let _lock = lock::exclusive(&layout.lock())?;
            let mut names = Names::read(&layout.names())?;
            let Some(record) = by_id(&layout, &manifest.config.digest)? else { return Ok(None) };
            if !record.layers.iter().eq(manifest.layers.iter().map(|layer| &layer.digest)) {
                return Ok(None);
            }
            give(&mut names, &new, &record.id, &layout)?;
            Ok(Some(image(record, &names)))
        })
        .await
    }

    /// Publishes what [`prepare`] made. Where the image is there already, it gets the names.
    pub(crate) async fn publish(&self, work: Arc<Work>, made: PathBuf, new: NewNames) -> Result<Image> {
        let layout = self.layout.clone();
        blocking(move || {
            let _lock = lock::exclusive(&layout.lock())?;
            let mut names = Names::read(&layout.names())?;
            let mut record = Record::read(&made)?;
            if let Some(known) = by_id(&layout, &record.id)? {
                record = known;
            } else {
                fs::rename(&made, layout.image(record.hex()))
                    .and_then(|()| sync_directory(&layout.images()))
                    .map_err(|source| {
                        Error::failed(format!("cannot publish the image {}", record.id), source)
                    })?;
            }
            give(&mut names, &new, &record.id, &layout)?;
            drop(work);
            Ok(image(record, &names))
        })
        .await
    }
}

/// Makes the directory of an image out of its disk, in a work directory: ready to be renamed. Blocks.
pub(crate) fn prepare(work: &Path, disk: &Path, record: &Record) -> Result<PathBuf> {
    let made = work.join("image");
    directory(&made, 0o711)?;
    directory(&made.join("leases"), 0o700)?;
    let base = record.base(&made).path;
    fs::rename(disk, &base)
        .and_then(|()| fs::set_permissions(&base, Permissions::from_mode(0o444)))
        .and_then(|()| fs::File::open(&base)?.sync_all())
        .map_err(|source| Error::failed(format!("cannot keep the disk of {}", record.id), source))?;
    record.write(&made)?;
    Ok(made)
}

fn give(names: &mut Names, new: &NewNames, id: &str, layout: &Layout) -> Result<()> {
    let before = names.clone();
    names.tags.extend(new.tag.iter().map(|tag| (tag.clone(), id.to_owned())));
    names.digests.extend(new.digest.iter().map(|digest| (digest.clone(), id.to_owned())));
    if *names == before { Ok(()) } else { names.write(&layout.names()) }
}

/// The record that is meant, and the name if it was found by one.
fn resolve(layout: &Layout, names: &Names, lookup: &Lookup) -> Result<Option<(Record, Option<String>)>> {
    let by_name = |name: &String| match names.get(name) {
        Some(id) => Ok(by_id(layout, id)?.map(|record| (record, Some(name.clone())))),
        None => Ok(None),
    };
    match lookup {
        Lookup::Id(id) => Ok(by_id(layout, id)?.map(|record| (record, None))),
        Lookup::Name(name) => by_name(name),
        Lookup::Prefix { hex, name } => {
            if let Some(name) = name
                && let Some(found) = by_name(name)?
            {
                return Ok(Some(found));
            }
            let mut found =
                records(layout)?.into_iter().filter(|record| record.hex().starts_with(hex.as_str()));
            match (found.next(), found.next()) {
                (Some(record), None) => Ok(Some((record, None))),
                (Some(_), Some(_)) => Err(Error::BadReference(format!(
                    "several images have an id that begins with {hex}; write more of it"
                ))),
                _ => Ok(None),
            }
        }
    }
}

fn by_id(layout: &Layout, id: &str) -> Result<Option<Record>> {
    let directory = layout.image(id.strip_prefix("sha256:").unwrap_or(id));
    if directory.exists() { Record::read(&directory).map(Some) } else { Ok(None) }
}

/// Every record. One that cannot be read hides no other.
fn records(layout: &Layout) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for path in entries(&layout.images())? {
        match Record::read(&path) {
            Ok(record) => records.push(record),
            Err(error) => tracing::warn!(path = %path.display(), %error, "an image is left out"),
        }
    }
    Ok(records)
}

fn image(record: Record, names: &Names) -> Image {
    let (tags, digests) = names.of(&record.id);
    let Record { id, size_bytes, pinned, config_user, facts, labels, created_at, .. } = record;
    Image { id, tags, digests, size_bytes, pinned, config_user, facts, labels, created_at }
}

/// What a directory and everything below it takes up.
pub async fn disk_usage(root: PathBuf) -> Result<Usage> {
    blocking(move || {
        let mut usage = Usage::default();
        let mut left = vec![root];
        while let Some(path) = left.pop() {
            // What was removed meanwhile takes up nothing.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            usage.bytes += metadata.blocks() * 512;
            usage.inodes += 1;
            if metadata.is_dir() {
                left.extend(entries(&path)?);
            }
        }
        Ok(usage)
    })
    .await
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::failed("the work on the image store broke off", error)),
    }
}
