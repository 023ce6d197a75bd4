//! A real registry of OCI images on the loopback of a namespace.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::namespace::Namespace;
use crate::process::Process;

/// The registry's program, as Debian names it.
const PROGRAM: &str = "docker-registry";
/// Who may pull from a private one, and by which password.
pub const LOGIN: (&str, &str) = ("puller", "infranetes");
/// The same as the registry reads it.
const HTPASSWD: &str = "puller:$2b$05$fZe.wooJd/C.ddB/NJe/j.Z5.Xrj3HEBxjOTLQgtUWTh6gZQi6PKu\n";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    host: String,
}

impl Registry {
    /// Starts a registry on `127.0.0.1:port` of the namespace, with its content in `store`.
    pub fn start(namespace: &Namespace, port: u16, store: &Path, dir: &Path) -> Result<Self> {
        Self::serve(namespace, port, store, dir, "")
    }

    /// The same of one that takes [`LOGIN`] only.
    pub fn start_private(namespace: &Namespace, port: u16, store: &Path, dir: &Path) -> Result<Self> {
        let users = dir.join("htpasswd");
        std::fs::write(&users, HTPASSWD)?;
        let auth = format!("auth: {{htpasswd: {{realm: private, path: {}}}}}\n", users.display());
        Self::serve(namespace, port, store, dir, &auth)
    }

    fn serve(namespace: &Namespace, port: u16, store: &Path, dir: &Path, auth: &str) -> Result<Self> {
        let config = dir.join("registry.yml");
        std::fs::create_dir_all(store)?;
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: \
                 true}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n{auth}",
                store.display()
            ),
        )?;
        let mut command = namespace.command(PROGRAM);
        command.arg("serve").arg(&config);
        let mut process = Process::start(command, PROGRAM, &dir.join("registry.log"))?;
        process.wait_for("answer", Duration::from_secs(20), || namespace.listens(port))?;
        Ok(Self { process, host: format!("127.0.0.1:{port}") })
    }

    /// Its `host:port`, as references name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
