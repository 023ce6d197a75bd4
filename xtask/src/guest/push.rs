//! Pushing an image: an OCI image with one layer, whose labels are the image's facts. With a disk it is a containerDisk.
//!
//! The pushed image is the same, bit by bit, whenever the disk or the root is. A blob that the registry has is not sent again.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::http::{Body, request};
use super::layer::Blob;
use super::published::{self, Published};
use super::{Image, facts, layer};
use crate::progress::Step;

/// What the names of the labels begin with.
const LABEL_PREFIX: &str = "io.infranetes.";
/// The label that tells an image from another one with the same disk.
const TITLE: &str = "org.opencontainers.image.title";
/// Where containers look for programs.
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The repository of a guest in a registry.
pub(crate) fn repository(name: &str) -> String {
    format!("guests/{name}")
}

/// Pushes an image to `registry` (`HOST:PORT`, plain HTTP) under all of its names.
pub(crate) fn push(image: &Image, registry: &str) -> Result<()> {
    let layer = layer::measure(image)?;
    let facts = facts::read(&image.beside("facts"))?;
    let mut first = None;
    for published in published::of(&image.name) {
        let step = Step::begin(&format!("pushing {registry}/{}", published.repository));
        let name = &published.repository;
        let at = Place { registry, name, other: first.as_deref() };
        upload(at, &layer, &mut |to| layer::write(image, to))?;
        let config = serde_json::to_vec(&config(&facts, &published, &layer))?;
        let configured = Blob::of(&config);
        upload(at, &configured, &mut |to| to.write_all(&config).context("cannot send"))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": configured.digest, "size": configured.size },
            "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
        }))?;
        for tag in published.tags {
            tell(at, tag, &manifest)?;
        }
        step.end(&Blob::of(&manifest).digest);
        first.get_or_insert(published.repository);
    }
    Ok(())
}

/// The image's configuration: its labels are the facts.
fn config(facts: &BTreeMap<String, String>, published: &Published, layer: &Blob) -> Value {
    let mut labels: BTreeMap<String, &str> =
        facts.iter().map(|(fact, value)| (format!("{LABEL_PREFIX}{fact}"), value.as_str())).collect();
    labels.extend(published.title.map(|title| (TITLE.to_owned(), title)));
    let mut config = json!({ "Labels": labels });
    if let Some(user) = published.user {
        config["User"] = user.into();
    }
    if !published.command.is_empty() {
        config["Cmd"] = json!(published.command);
        config["Env"] = json!([PATH]);
    }
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    })
}

/// A repository of a registry, and another one of it that may have the same blobs.
#[derive(Clone, Copy)]
struct Place<'a> {
    registry: &'a str,
    name: &'a str,
    other: Option<&'a str>,
}

/// Puts a manifest under a tag.
fn tell(at: Place<'_>, tag: &str, manifest: &[u8]) -> Result<()> {
    let Place { registry, name, .. } = at;
    let body = Body {
        length: manifest.len() as u64,
        media_type: MANIFEST,
        write: &mut |to| to.write_all(manifest).context("cannot send"),
    };
    let answer = request(registry, "PUT", &format!("/v2/{name}/manifests/{tag}"), Some(body))?;
    if answer.status != 201 {
        bail!("the registry {registry} refused {name}:{tag} ({}): {}", answer.status, answer.body);
    }
    Ok(())
}

/// Sends a blob, unless the registry has it.
fn upload(at: Place<'_>, blob: &Blob, write: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Place { registry, name, other } = at;
    if request(registry, "HEAD", &format!("/v2/{name}/blobs/{}", blob.digest), None)?.status == 200 {
        return Ok(());
    }
    let from = other.map(|other| format!("?mount={}&from={other}", blob.digest)).unwrap_or_default();
    let began = request(registry, "POST", &format!("/v2/{name}/blobs/uploads/{from}"), None)?;
    if began.status == 201 {
        // It was in the other repository.
        return Ok(());
    }
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
