//! Who the API server is to servers of further APIs, such as metrics-server: it tells them in whose name it asks, and they believe
//! who shows this certificate. It is its own authority, since nothing else is signed by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::namespace::run;

/// The name in the certificate.
const NAME: &str = "aggregator";

/// The certificate and its key.
#[derive(Debug)]
pub(super) struct Aggregator {
    certificate: PathBuf,
    key: PathBuf,
}

impl Aggregator {
    /// Makes them in a folder.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let made = Self { certificate: folder.join("aggregator.crt"), key: folder.join("aggregator.key") };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-nodes", "-days", "365", "-subj", &format!("/CN={NAME}")]);
        openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        run(&mut openssl).context("cannot make the certificate of the aggregator; install openssl")?;
        Ok(made)
    }

    /// Has the API server show it, and tell such servers to believe it.
    pub(super) fn show(&self, command: &mut Command) {
        command.arg("--proxy-client-cert-file").arg(&self.certificate);
        command.arg("--proxy-client-key-file").arg(&self.key);
        command.args(["--requestheader-username-headers=X-Remote-User"]);
        command.args(["--requestheader-group-headers=X-Remote-Group"]);
        command.args(["--requestheader-extra-headers-prefix=X-Remote-Extra-"]);
        self.believe(command);
    }

    /// Has a server believe who shows it.
    pub(super) fn believe(&self, command: &mut Command) {
        command.arg("--requestheader-client-ca-file").arg(&self.certificate);
        command.arg(format!("--requestheader-allowed-names={NAME}"));
    }
}
