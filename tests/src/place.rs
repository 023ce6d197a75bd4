//! Where a runtime runs: a directory, a network namespace and a registry of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::registry::Registry;

/// The port of the registry.
pub(crate) const REGISTRY_PORT: u16 = 5000;
/// The ports of registries that take a login only: one of machines' images, one of containers'.
pub(crate) const PRIVATE_PORTS: [u16; 2] = [5002, 5003];
/// The port of the registry where it stands in for others, which are named without one.
const PLAIN_PORT: u16 = 80;

/// A place. Dropping it ends the registry and removes the namespace and the directory, in this order.
#[derive(Debug)]
pub struct Place {
    registry: Option<Registry>,
    namespace: Namespace,
    dir: TempDir,
}

impl Place {
    /// Makes a place. A registry with this content stands in for the hosts of others: here their names mean it, over plain
    /// HTTP.
    pub(crate) fn make(content: Option<&Path>, stands_for: &[String]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("infra-").tempdir()?;
        traversable(dir.path())?;
        let name =
            dir.path().file_name().map(|name| name.to_string_lossy().replace('.', "")).unwrap_or_default();
        let namespace = Namespace::create(&format!("node-{name}"))?;
        if !stands_for.is_empty() {
            let names: Vec<&str> = stands_for.iter().map(String::as_str).collect();
            namespace.resolve_to_loopback(&names, &dir.path().join("hosts"))?;
        }
        let port = if stands_for.is_empty() { REGISTRY_PORT } else { PLAIN_PORT };
        let registry = match content {
            Some(store) => Some(Registry::start(&namespace, port, store, dir.path())?),
            None => None,
        };
        Ok(Self { registry, namespace, dir })
    }

    /// The registry's `host:port`.
    pub fn registry(&self) -> &str {
        self.registry.as_ref().map_or("", Registry::host)
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The directory: everything that the runtime writes is in it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The runtime's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }
}

/// The machine's unprivileged user reaches its files below this directory.
fn traversable(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    Ok(())
}
