//! Every name in the store and the image it means, in one file that is replaced by one rename: a tag that moves from
//! one image to another is never on both, nor on none.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::write_whole;
use crate::{Error, Result};

/// The names. Each maps to an image's id, `sha256:...`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// `registry/repository:tag`.
    pub(crate) tags: BTreeMap<String, String>,
    /// `registry/repository@sha256:...`.
    pub(crate) digests: BTreeMap<String, String>,
}

impl Names {
    /// Reads the file; no file means no names.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| {
                Error::failed(
                    format!(
                        "{} is damaged; remove it, and pull the images again by their names",
                        path.display()
                    ),
                    source,
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::failed(format!("cannot read {}", path.display()), error)),
        }
    }

    /// Replaces the file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::failed("cannot encode the names of the images", source))?;
        write_whole(path, &text)
    }

    /// What a tag or digest name means.
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.tags.get(name).or_else(|| self.digests.get(name))
    }

    /// Takes every name from an image.
    pub(crate) fn forget(&mut self, id: &str) {
        self.tags.retain(|_, image| image != id);
        self.digests.retain(|_, image| image != id);
    }

    /// The tags and the digest names of an image.
    pub(crate) fn of(&self, id: &str) -> (Vec<String>, Vec<String>) {
        let named = |map: &BTreeMap<String, String>| {
            map.iter().filter(|(_, image)| *image == id).map(|(name, _)| name.clone()).collect()
        };
        (named(&self.tags), named(&self.digests))
    }
}
