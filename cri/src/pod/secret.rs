//! The login of an image that a Secret of its pod holds: `infranetes.io/credential` names the volume.
//!
//! ```text
//!   each login: pods/UID/volumes/kubernetes.io~secret/NAME --read--> username, password, ssh-privatekey --> the guest
//! ```
//!
//! The kubelet keeps the Secret on the node, where it is read at each login and not remembered; so one that was changed is used
//! at the next. It is never put into the guest: its mounts in the pod's containers are only the kubelet's reason to keep it.
//!
//! - Happy path: the keys are those of Kubernetes' own types of Secrets, `kubernetes.io/basic-auth` and
//!   `kubernetes.io/ssh-auth`.
//! - No such volume, or no key of these in it: a machine is not made, and the reason names what is missing. When it goes missing
//!   later, logins fail with that reason until it is there again.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use transports::{Credential, Login, Logins, Secret};

use super::annotations;
use crate::error::{Error, Result};
use crate::store::PodRecord;
use crate::volume;

/// The keys of Kubernetes' own types of Secrets.
const USER: &str = "username";
const PASSWORD: &str = "password";
const PRIVATE_KEY: &str = "ssh-privatekey";

/// The volume whose Secret holds the pod's login; none where the pod names none.
pub fn named(annotations: &BTreeMap<String, String>) -> Option<&str> {
    annotations.get(annotations::CREDENTIAL).map(String::as_str)
}

/// The login that a Secret holds.
#[derive(Debug)]
pub(super) struct SecretLogin {
    volume: String,
    path: PathBuf,
}

impl SecretLogin {
    /// That of a pod whose kubelet has this directory; none where the pod names none.
    pub(super) fn of(pod: &PodRecord, kubelet: &Path) -> Result<Option<Self>> {
        let Some(volume) = named(&pod.annotations) else { return Ok(None) };
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !part.starts_with('.')
        };
        if !plain(volume) || !plain(&pod.uid) {
            return Err(Error::invalid(format!(
                "annotation {} is {volume:?}; it takes the name of a Secret volume of the pod",
                annotations::CREDENTIAL
            )));
        }
        let path = kubelet.join("pods").join(&pod.uid).join("volumes/kubernetes.io~secret").join(volume);
        Ok(Some(Self { volume: volume.to_owned(), path }))
    }

    /// Whether there is a login, where the pod names a Secret.
    pub(super) async fn check(pod: &PodRecord, kubelet: &Path) -> Result<()> {
        let Some(login) = Self::of(pod, kubelet)? else { return Ok(()) };
        login.now().await.map(drop).map_err(|error| Error::invalid(error.to_string()))
    }

    /// What it is now. The reason says what is missing, and nothing of what is there.
    fn read(&self) -> Result<Login, String> {
        let of = format!("the Secret volume {:?}, which {} names,", self.volume, annotations::CREDENTIAL);
        let tree = volume::files(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!(
                "{of} is not on the node; a container of the pod has to mount a Secret by that name, at any path"
            ),
            _ => format!("{of} cannot be read on the node: {error}"),
        })?;
        let text = |key: &str| {
            let content = tree.content(key).filter(|content| !content.is_empty());
            let text = content.map(|content| String::from_utf8(content.to_vec())).transpose();
            text.map_err(|_| format!("{of} has a {key} that is no text"))
        };
        let line = |key: &str| {
            Ok::<_, String>(text(key)?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
        };
        let key = text(PRIVATE_KEY)?.map(|key| Credential::Key(Secret::new(key)));
        let password = line(PASSWORD)?.map(|password| Credential::Password(Secret::new(password)));
        let credentials: Vec<Credential> = key.into_iter().chain(password).collect();
        if credentials.is_empty() {
            return Err(format!("{of} has neither a {PRIVATE_KEY} nor a {PASSWORD}"));
        }
        Ok(Login { user: line(USER)?, credentials })
    }
}

#[async_trait]
impl Logins for SecretLogin {
    async fn now(&self) -> transports::Result<Login> {
        let login = Self { volume: self.volume.clone(), path: self.path.clone() };
        let read = tokio::task::spawn_blocking(move || login.read()).await;
        read.map_err(|error| IoError::other(error).to_string())
            .and_then(|login| login)
            .map_err(transports::Error::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn login(folder: &Path, files: &[(&str, &[u8])]) -> Result<Login, String> {
        let path = folder.join("login");
        fs::create_dir_all(path.join("..1")).unwrap();
        for (name, content) in files {
            fs::write(path.join("..1").join(name), content).unwrap();
        }
        symlink("..1", path.join("..data")).unwrap();
        SecretLogin { volume: "login".into(), path }.read()
    }

    #[test]
    fn a_secret_of_each_type_is_a_login() {
        let folder = tempfile::tempdir().unwrap();
        let found = login(folder.path(), &[("username", b"admin\n"), ("password", b" p w \r\n")]).unwrap();
        assert_eq!(found.user.as_deref(), Some("admin"));
        assert!(
            matches!(&found.credentials[..], [Credential::Password(password)] if password.expose() == " p w ")
        );
        assert!(!format!("{found:?}").contains("p w"), "{found:?}");
        let folder = tempfile::tempdir().unwrap();
        let found = login(folder.path(), &[("ssh-privatekey", b"PEM\n")]).unwrap();
        assert_eq!(found.user, None);
        assert!(matches!(&found.credentials[..], [Credential::Key(key)] if key.expose() == "PEM\n"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = SecretLogin { volume: "login".into(), path: "/no/such".into() }.read().unwrap_err();
        assert!(none.contains("\"login\"") && none.contains("is not on the node"), "{none}");
        let folder = tempfile::tempdir().unwrap();
        let empty = login(folder.path(), &[("password", b""), ("token", b"x")]).unwrap_err();
        assert!(empty.contains("neither a ssh-privatekey nor a password"), "{empty}");
        let folder = tempfile::tempdir().unwrap();
        let binary = login(folder.path(), &[("password", &[0xff, 0xfe])]).unwrap_err();
        assert!(binary.contains("password that is no text"), "{binary}");
    }
}
