//! The documents of a registry: index, manifest, configuration. Only what is needed of them, and nothing unbounded.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::layout::is_hex_digest;
use crate::{Error, Facts, LABEL_PREFIX, Limits, Result, disk};

/// The largest manifest or index, in bytes; registries refuse larger ones too.
pub(crate) const LARGEST_MANIFEST: u64 = 4 << 20;

/// The largest configuration, in bytes.
pub(crate) const LARGEST_CONFIG: u64 = 4 << 20;

/// The most layers of an image.
const MOST_LAYERS: usize = 128;

/// What a client of these documents says that it accepts.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// A blob as a manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Descriptor {
    /// `sha256:...`.
    pub(crate) digest: String,
    /// In bytes.
    pub(crate) size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// What a reference leads to.
#[derive(Debug)]
pub(crate) enum Found {
    /// An image.
    Image(Manifest),
    /// The digest of the image for this kind of machine, from an index.
    Elsewhere(String),
}

/// The manifest of one image.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Reads an index or a manifest. `name` is for the messages.
pub(crate) fn read(text: &[u8], name: &str, limits: Limits) -> Result<Found> {
    let refused = |why: String| Error::Refused(format!("{name}: {why}"));
    let document: Document = serde_json::from_slice(text)
        .map_err(|error| refused(format!("what the registry gave is no image manifest: {error}")))?;
    if document.schema_version != 2 {
        return Err(refused(format!(
            "a manifest of schema {} is not supported; push it anew",
            document.schema_version
        )));
    }
    if let Some(manifests) = document.manifests {
        let chosen =
            choose(&manifests).ok_or_else(|| refused("it has no image for linux/amd64".to_owned()))?;
        check_digest(&chosen.digest, name)?;
        return Ok(Found::Elsewhere(chosen.digest.clone()));
    }
    let (Some(config), Some(layers)) = (document.config, document.layers) else {
        return Err(refused("the manifest has no configuration or no layers".to_owned()));
    };
    if layers.is_empty() || layers.len() > MOST_LAYERS {
        return Err(refused(format!("it has {} layers; 1 to {MOST_LAYERS} are possible", layers.len())));
    }
    if config.size > LARGEST_CONFIG {
        return Err(refused(format!("its configuration of {} bytes is too large", config.size)));
    }
    check_digest(&config.digest, name)?;
    for layer in &layers {
        check_digest(&layer.digest, name)?;
        if layer.size > limits.unpacked_bytes {
            return Err(refused(format!(
                "the layer {} of {} bytes passes the limit of {} unpacked bytes; raise the limit of the unpacked size \
                 in the configuration if it is meant",
                layer.digest, layer.size, limits.unpacked_bytes
            )));
        }
    }
    Ok(Found::Image(Manifest { config, layers }))
}

/// The entry for linux/amd64, or the only one where it does not say.
fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let fits = |entry: &&Descriptor| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
    };
    manifests.iter().find(fits).or(match manifests {
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    })
}

/// A digest becomes a file's name, so it is exactly `sha256:` and 64 digits.
fn check_digest(digest: &str, name: &str) -> Result<()> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if is_hex_digest(hex) => Ok(()),
        _ => Err(Error::Refused(format!(
            "{name}: the digest {:?} is no SHA-256; push the image with SHA-256 digests",
            digest.chars().take(120).collect::<String>()
        ))),
    }
}

/// What the configuration of an image tells.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) user: Option<String>,
    /// Without the password, which is a fact alone.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) facts: Facts,
    /// The digests of the unpacked layers.
    pub(crate) diff_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ConfigDocument {
    #[serde(default)]
    config: Option<Execution>,
    rootfs: Option<Rootfs>,
}

#[derive(Debug, Default, Deserialize)]
struct Execution {
    #[serde(rename = "User", default)]
    user: Option<String>,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    diff_ids: Option<Vec<String>>,
}

/// Reads the configuration of an image with so many layers.
///
/// The image's id is the digest of this document. That it names the unpacked layers, and that they are checked against
/// it, makes an id stand for one content, whoever pushed it.
pub(crate) fn read_config(text: &[u8], layers: usize, name: &str, limits: Limits) -> Result<Config> {
    let refused = |why: String| Error::Refused(format!("{name}: {why}"));
    let document: ConfigDocument = serde_json::from_slice(text)
        .map_err(|error| refused(format!("its configuration is no image configuration: {error}")))?;
    let diff_ids = document.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
    if diff_ids.len() != layers {
        return Err(refused(format!(
            "its configuration names {} unpacked layers (rootfs.diff_ids) where the manifest has {layers}; build it \
             with a tool for container images",
            diff_ids.len()
        )));
    }
    for diff_id in &diff_ids {
        check_digest(diff_id, name)?;
    }
    let execution = document.config.unwrap_or_default();
    let mut labels = execution.labels.unwrap_or_default();
    let facts = Facts::from_labels(&labels)?;
    labels.remove(&format!("{LABEL_PREFIX}password"));
    if let Some(gib) = facts.disk_gib {
        disk::within(u64::from(gib) << 30, limits, &format!("{name}: its label {LABEL_PREFIX}disk-gib"))?;
    }
    Ok(Config { user: execution.user.filter(|user| !user.is_empty()), labels, facts, diff_ids })
}
