//! A pull, from a reference to a published image.
//!
//! ```text
//!   manifest (with this caller's credential) --> known image? --> its name is added
//!                                            \-> configuration --> blobs --> the disk --> checks --> publish
//! ```
//!
//! Pulls of one image from one registry wait for each other after the manifest, so that it is unpacked once; if the
//! first is cancelled, the next one takes over. Nothing is published before everything is verified, and the work directory goes away with
//! the pull, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::layers::{self, Layer};
use crate::manifest::{self, Config, Found, Manifest};
use crate::record::Record;
use crate::registry::Registry;
use crate::store::{NewNames, Shared, blocking, prepare};
use crate::work::Work;
use crate::{Error, Image, LOCAL_REGISTRY, Registries, RegistryAuth, Result, disk, reference};

/// Pulls a reference.
pub(crate) async fn pull(
    shared: &Arc<Shared>,
    reference: &str,
    auth: &RegistryAuth,
    registries: &Registries,
) -> Result<Image> {
    let parsed = reference::parse(reference)?;
    let name = reference::full(&parsed);
    if parsed.registry() == LOCAL_REGISTRY {
        let found = shared.find(&name).await?;
        return found.ok_or_else(|| {
            Error::NotFound(format!(
                "{name} (import it on this node: `infranetes image import FILE --name NAME`)"
            ))
        });
    }
    let registry = Registry::new(parsed.clone(), auth, registries).await?;
    let top = registry.manifest(None).await?;
    let manifest = match manifest::read(&top.text, &name, shared.limits)? {
        Found::Image(manifest) => manifest,
        Found::Elsewhere(digest) => {
            let document = registry.manifest(Some(&digest)).await?;
            match manifest::read(&document.text, &name, shared.limits)? {
                Found::Image(manifest) => manifest,
                Found::Elsewhere(_) => {
                    return Err(Error::Refused(format!("{name}: its index leads to another index")));
                }
            }
        }
    };
    let names = NewNames {
        tag: parsed.digest().is_none().then(|| name.clone()),
        digest: Some(reference::by_digest(&parsed, &top.digest)),
    };

    let turn = shared.turn(registry.host(), &manifest.config.digest);
    let _turn = turn.lock().await;
    if let Some(image) = shared.name_known(&manifest, &names).await? {
        return Ok(image);
    }
    let what = format!("the configuration of {name}");
    let text = registry.document(&manifest.config.digest, manifest.config.size, &what).await?;
    let config = manifest::read_config(&text, manifest.layers.len(), &name, shared.limits)?;
    unpack(shared, &registry, &name, &manifest, config, names).await
}

async fn unpack(
    shared: &Arc<Shared>,
    registry: &Registry,
    name: &str,
    manifest: &Manifest,
    config: Config,
    names: NewNames,
) -> Result<Image> {
    let mut blobs = Vec::new();
    for layer in &manifest.layers {
        blobs.push(shared.blobs.fetch(&shared.layout, registry, layer).await?);
    }
    let layers: Vec<Layer> = blobs
        .iter()
        .zip(&manifest.layers)
        .zip(config.diff_ids)
        .map(|((blob, layer), diff_id)| Layer {
            path: blob.path().to_owned(),
            digest: layer.digest.clone(),
            diff_id,
        })
        .collect();

    let layout = shared.layout.clone();
    let work = Arc::new(blocking(move || Work::create(&layout)).await?);
    let limits = shared.limits;
    // The unpacking runs on its own thread: it holds the directory and the blobs until it has seen that we are gone.
    let cancel = CancelOnDrop::default();
    let cancelled = Arc::clone(&cancel.0);
    let held = Arc::clone(&work);
    let found = blocking(move || {
        let found = layers::unpack(&layers, held.path(), limits, &cancelled);
        drop(blobs);
        found
    })
    .await?;

    let shown = format!("{} of {name}", found.name);
    let file = std::fs::File::open(&found.path)
        .map_err(|source| Error::failed(format!("cannot read {shown}"), source))?;
    let format = disk::Format::of(&file, &found.name)?;
    let checked = disk::check(&found.path, format, &shown, limits).await?;
    let record = Record {
        id: manifest.config.digest.clone(),
        format: format.name().to_owned(),
        virtual_size_bytes: checked.virtual_size_bytes,
        size_bytes: checked.size_bytes,
        pinned: false,
        config_user: config.user,
        facts: config.facts,
        labels: config.labels,
        layers: manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
        created_at: SystemTime::now(),
    };
    let held = Arc::clone(&work);
    let directory = blocking(move || prepare(held.path(), &found.path, &record)).await?;
    shared.publish(work, directory, names).await
}

/// Tells a thread that its caller went away.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
