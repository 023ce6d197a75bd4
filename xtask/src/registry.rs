//! The content of a local registry: sample images, pushed once and kept by their content.
//!
//! Happy path: a registry is started in a network namespace of its own, this program runs itself in there to push the
//! images, and the registry's folder is kept in the cache. A node (see the crate `tests`) serves it to its daemon.
//! Failure paths: an interrupted push leaves nothing that the next run takes for whole (see [`crate::cache`]).

use std::path::PathBuf;

use anyhow::{Context, Result};
use tests::{Namespace, Registry};

use crate::cache::{self, Key};
use crate::guest::{self, Image};
use crate::run;

/// The registry's port inside of its namespace.
const PORT: u16 = 5000;
/// The form of what is pushed; another one makes all content anew.
const FORM: &str = "containerDisk with labels, 1";

/// The folder of a registry that has these guests under the names that they are published as; they are built if need be.
pub(crate) fn store(names: &[&str]) -> Result<PathBuf> {
    let images = names.iter().map(|name| guest::build(name)).collect::<Result<Vec<_>>>()?;
    let key = images
        .iter()
        .fold(Key::new().add(FORM), |key, image| key.add(image.content()).add(image.published()));
    let name = if names.len() == guest::NAMES.len() { "all".to_owned() } else { names.join("-") };
    let folder = cache::keep("registries", &name, key, |folder| {
        let work = tempfile::tempdir().context("cannot make a folder for the registry")?;
        let namespace = Namespace::create(&format!("registry-{}", std::process::id()))?;
        let registry = Registry::start(&namespace, PORT, &folder.join("store"), work.path())?;
        push(&namespace, &registry, &images)
    })?;
    Ok(folder.join("store"))
}

/// Pushes from within the namespace, where this program has to run for that.
fn push(namespace: &Namespace, registry: &Registry, images: &[Image]) -> Result<()> {
    // The file may be replaced by a build while we run: this names the program that runs.
    let mut command = namespace.command(format!("/proc/{}/exe", std::process::id()));
    command.args(["guest", "--push", registry.host()]);
    command.args(images.iter().map(|image| &image.name));
    run::step("filling the local registry", &mut command)
}
