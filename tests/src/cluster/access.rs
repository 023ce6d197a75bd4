//! Who may do what: a token for each who asks the API server, and the key of service accounts.
//!
//! ```text
//!  access/tokens.csv          what the API server compares tokens with
//!  access/WHO.kubeconfig      where it is, what it is trusted by, and the token of one of them
//!  access/service-accounts    the key that tokens of service accounts are signed with
//!  access/aggregator.crt      what the API server shows to servers of further APIs, in whose name it asks for others
//!  api/apiserver.crt          the API server's certificate, which it makes itself
//! ```
//!
//! Each has the rights that Kubernetes' own roles give it, no more; people are its administrator. The secrets are in files that
//! only root reads, are new in each cluster, and go with it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde_json::json;

use super::aggregator::Aggregator;
use super::control::API_PORT;
use super::{ADDRESS, NODE};
use crate::namespace::run;

/// How long a token is: 190 bits.
const LENGTH: usize = 32;

/// Who asks the API server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    Admin,
    Controllers,
    Scheduler,
    Kubelet,
    Proxy,
    Dns,
    Metrics,
}

impl Who {
    const ALL: [Self; 7] = [
        Self::Admin,
        Self::Controllers,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
        Self::Dns,
        Self::Metrics,
    ];

    /// Its name as a user, and its group if it has one.
    fn user(self) -> (String, &'static str) {
        match self {
            Self::Admin => ("admin".to_owned(), "system:masters"),
            Self::Controllers => ("system:kube-controller-manager".to_owned(), ""),
            Self::Scheduler => ("system:kube-scheduler".to_owned(), ""),
            Self::Kubelet => (format!("system:node:{NODE}"), "system:nodes"),
            Self::Proxy => ("system:kube-proxy".to_owned(), ""),
            Self::Dns => ("system:coredns".to_owned(), ""),
            Self::Metrics => ("system:metrics-server".to_owned(), ""),
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Admin => "admin.kubeconfig",
            Self::Controllers => "controllers.kubeconfig",
            Self::Scheduler => "scheduler.kubeconfig",
            Self::Kubelet => "kubelet.kubeconfig",
            Self::Proxy => "proxy.kubeconfig",
            Self::Dns => "dns.kubeconfig",
            Self::Metrics => "metrics.kubeconfig",
        }
    }
}

/// The files of it.
#[derive(Debug)]
pub(super) struct Access {
    dir: PathBuf,
    aggregator: Aggregator,
}

impl Access {
    /// Makes all of it below a directory.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let folder = dir.join("access");
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let access = Self { dir: dir.to_owned(), aggregator: Aggregator::make(&folder)? };
        let mut tokens = String::new();
        for who in Who::ALL {
            let token: String = rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
            let (user, group) = who.user();
            let _ = writeln!(tokens, "{token},{user},{user},{group}");
            write(&access.config(who), &access.kubeconfig(&token))?;
        }
        write(&access.tokens(), &tokens)?;
        let mut keys = Command::new("ssh-keygen");
        keys.args(["-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f"]).arg(access.signing_key());
        run(&mut keys).context("cannot make the key of service accounts; install openssh-client")?;
        Ok(access)
    }

    /// The kubeconfig of one of them.
    pub(super) fn config(&self, who: Who) -> PathBuf {
        self.dir.join("access").join(who.file())
    }

    /// What the API server compares tokens with.
    pub(super) fn tokens(&self) -> PathBuf {
        self.dir.join("access/tokens.csv")
    }

    /// What tokens of service accounts are signed with.
    pub(super) fn signing_key(&self) -> PathBuf {
        self.dir.join("access/service-accounts")
    }

    /// Who the API server is to servers of further APIs.
    pub(super) fn aggregator(&self) -> &Aggregator {
        &self.aggregator
    }

    /// Where the API server puts its certificate.
    pub(super) fn api(&self) -> PathBuf {
        self.dir.join("api")
    }

    /// The API server's certificate, with the authority that it made for that.
    pub(super) fn authority(&self) -> PathBuf {
        self.api().join("apiserver.crt")
    }

    fn kubeconfig(&self, token: &str) -> String {
        let server = format!("https://{ADDRESS}:{API_PORT}");
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "cluster",
                "cluster": { "server": server, "certificate-authority": self.authority() },
            }],
            "users": [{ "name": "user", "user": { "token": token } }],
            "contexts": [{ "name": "context", "context": { "cluster": "cluster", "user": "user" } }],
            "current-context": "context",
        })
        .to_string()
    }
}

/// Writes a file that only root reads.
fn write(path: &Path, text: &str) -> Result<()> {
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Access, Who};

    #[test]
    fn each_has_a_token_of_its_own_that_only_root_reads() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::make(dir.path()).unwrap();
        let tokens = std::fs::read_to_string(access.tokens()).unwrap();
        assert_eq!(tokens.lines().count(), Who::ALL.len());
        for (who, line) in Who::ALL.into_iter().zip(tokens.lines()) {
            let (token, rest) = line.split_once(',').unwrap();
            assert!(rest.starts_with(&who.user().0), "{rest}");
            assert_eq!(tokens.matches(token).count(), 1);
            assert!(std::fs::read_to_string(access.config(who)).unwrap().contains(token));
        }
        for file in std::fs::read_dir(dir.path().join("access")).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            let public = ["service-accounts.pub", "aggregator.crt"].map(Into::into);
            assert!(mode == 0o600 || public.contains(&file.file_name()), "{file:?}: {mode:o}");
        }
    }
}
