//! Pushing an image as a containerDisk: an OCI image with one layer, whose labels are the image's facts.
//!
//! The pushed image is the same, bit by bit, whenever the disk is. A blob that the registry has is not sent again.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::http::{Body, request};
use super::layer::Blob;
use super::{Image, facts, layer};
use crate::progress::Step;

/// What the names of the labels begin with.
const LABEL_PREFIX: &str = "io.infranetes.";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The repository of a guest in a registry.
pub(crate) fn repository(name: &str) -> String {
    format!("guests/{name}")
}

/// Pushes an image to `registry` (`HOST:PORT`, plain HTTP) and answers its reference.
pub(crate) fn push(image: &Image, registry: &str) -> Result<String> {
    let name = repository(&image.name);
    let reference = format!("{registry}/{name}:latest");
    let step = Step::begin(&format!("pushing {reference}"));
    let disk = image.disk();
    let layer = layer::measure(&image.name, &disk)?;
    upload(registry, &name, &layer, &mut |to| layer::write(&image.name, &disk, to))?;

    let labels: BTreeMap<String, String> = facts::read(&image.beside("facts"))?
        .into_iter()
        .map(|(fact, value)| (format!("{LABEL_PREFIX}{fact}"), value))
        .collect();
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    }))?;
    let configured = Blob::of(&config);
    upload(registry, &name, &configured, &mut |to| to.write_all(&config).context("cannot send"))?;

    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": configured.digest, "size": configured.size },
        "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
    }))?;
    let answer = request(
        registry,
        "PUT",
        &format!("/v2/{name}/manifests/latest"),
        Some(Body {
            length: manifest.len() as u64,
            media_type: MANIFEST,
            write: &mut |to| to.write_all(&manifest).context("cannot send"),
        }),
    )?;
    if answer.status != 201 {
        bail!("the registry {registry} refused {reference} ({}): {}", answer.status, answer.body);
    }
    step.end(&Blob::of(&manifest).digest);
    Ok(reference)
}

/// Sends a blob, unless the registry has it.
fn upload(
    registry: &str,
    name: &str,
    blob: &Blob,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    if request(registry, "HEAD", &format!("/v2/{name}/blobs/{}", blob.digest), None)?.status == 200 {
        return Ok(());
    }
    let began = request(registry, "POST", &format!("/v2/{name}/blobs/uploads/"), None)?;
    let Some(location) = began.location.filter(|_| began.status == 202) else {
        bail!("the registry {registry} takes no upload ({}): {}", began.status, began.body);
    };
    // The place may be told with or without the registry's own address.
    let place = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => &location,
    };
    let mark = if place.contains('?') { '&' } else { '?' };
    let sent = request(
        registry,
        "PUT",
        &format!("{place}{mark}digest={}", blob.digest),
        Some(Body { length: blob.size, media_type: "application/octet-stream", write }),
    )?;
    if sent.status != 201 {
        bail!("the registry {registry} refused blob {} ({}): {}", blob.digest, sent.status, sent.body);
    }
    Ok(())
}
