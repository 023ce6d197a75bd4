//! The `[delegate]` section: a runtime beside ours, which runs the node's ordinary containers.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// The runtime beside ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DelegateSection {
    /// Its own CRI socket, as `unix:///run/containerd/containerd.sock`.
    pub endpoint: String,
    /// The `RuntimeClass` handlers whose pods it runs. The empty name is the default handler.
    #[serde(default = "default_handlers")]
    pub handlers: BTreeSet<String>,
}

fn default_handlers() -> BTreeSet<String> {
    BTreeSet::from([String::new()])
}

impl DelegateSection {
    /// What is wrong with it: the key, and why.
    pub(super) fn wrong(&self, socket: &Path) -> Option<(&'static str, String)> {
        let Some(path) = self.endpoint.strip_prefix("unix://").filter(|path| path.starts_with('/')) else {
            let why = format!(
                "delegate.endpoint {:?} is no Unix socket; write unix:///PATH, as unix:///run/containerd/containerd.sock",
                self.endpoint
            );
            return Some(("endpoint", why));
        };
        if Path::new(path) == socket {
            let why = "delegate.endpoint is this daemon's own socket; name the socket of containerd or CRI-O"
                .into();
            return Some(("endpoint", why));
        }
        self.handlers.is_empty().then(|| {
            let why = "delegate.handlers is empty, so it would run nothing; name a handler (\"\" is the default one)";
            ("handlers", why.into())
        })
    }
}
