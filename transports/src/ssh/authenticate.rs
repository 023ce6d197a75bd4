//! Proves to a guest that we may log in: keys, passwords, and passwords as the answers to questions.
//!
//! Credentials are tried in the order of the target, each only once a method, and only where the server still accepts
//! the method. Servers that ask for two proofs (a key, then a password) are served too. When none is left the error
//! names the user and the methods that were tried, and never a secret.

use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use tokio::sync::watch;

use super::algorithms::SSH_RSA;
use super::client::{Client, Seen, describe};
use crate::{Credential, Error, Result, Secret, Target};

/// The most rounds of questions that are answered.
const QUESTION_ROUNDS: usize = 8;

/// Logs in.
pub(super) async fn authenticate(
    handle: &mut Handle<Client>,
    target: &Target,
    seen: &Seen,
    ended: &watch::Receiver<Option<String>>,
) -> Result<()> {
    // Read as late as can be: the guest has proved who it is.
    let now = &target.as_of_now().await?;
    // A name that is kept with the credentials is as little to be shown as they are.
    let whom = if now.user == target.user { format!("user {}", now.user) } else { "its user".to_owned() };
    let is_kept = target.is_kept();
    let target = now;
    let mut login = Login { handle, target, whom, tried: Vec::new(), accepted: None };
    let result = login.run().await;
    let tried = login.tried.join(", ");
    let closed = login.handle.is_closed();
    match result {
        Ok(true) => Ok(()),
        // A server that has had enough attempts says so by ending the connection.
        Ok(false) if closed && tried.is_empty() => Err(lost(target, ended)),
        Ok(false) => {
            let banner = seen.banner();
            let said = if banner.is_empty() { String::new() } else { format!(", it says: {banner}") };
            Err(Error::Refused(format!(
                "{}: permission denied (tried {}) for {}{said}",
                target.address,
                if tried.is_empty() {
                    "nothing: the server accepts none of the credentials' methods"
                } else {
                    &tried
                },
                login.whom
            )))
        }
        // It may be mended at any time.
        Err(Stop::Invalid(error)) if is_kept => Err(Error::Refused(error.to_string())),
        Err(Stop::Invalid(error)) => Err(error),
        Err(Stop::Protocol(error)) if closed => {
            tracing::debug!(address = %target.address, error = describe(&error), "authentication cut short");
            Err(lost(target, ended))
        }
        Err(Stop::Protocol(error)) => Err(Error::Unreachable(format!(
            "{}: authentication failed: {}",
            target.address,
            describe(&error)
        ))),
    }
}

fn lost(target: &Target, ended: &watch::Receiver<Option<String>>) -> Error {
    let why = ended.borrow().clone().unwrap_or_else(|| "the guest closed the connection".into());
    Error::Unreachable(format!("{}: {why} during authentication", target.address))
}

enum Stop {
    Invalid(Error),
    Protocol(russh::Error),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

struct Login<'a> {
    handle: &'a mut Handle<Client>,
    target: &'a Target,
    whom: String,
    tried: Vec<&'static str>,
    /// The methods that the server said can go on; unknown before its first answer.
    accepted: Option<Vec<MethodKind>>,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<bool, Stop> {
        let target = self.target;
        let mut invalid = None;
        for credential in &target.credentials {
            if self.handle.is_closed() {
                return Ok(false);
            }
            let done = match credential {
                // Another credential may be all right.
                Credential::Key(pem) => match self.key(pem).await {
                    Err(Stop::Invalid(error)) => {
                        invalid.get_or_insert(error);
                        false
                    }
                    answered => answered?,
                },
                Credential::Password(password) => self.password(password).await?,
                // Another protocol's; and what a kept one is now has taken its place.
                Credential::Tickets | Credential::Kept(_) => false,
            };
            if done {
                return Ok(true);
            }
        }
        if target.credentials.is_empty() {
            // A guest may let its user in without any proof.
            let answer = self.handle.authenticate_none(&target.user).await?;
            return Ok(self.note(answer));
        }
        invalid.map_or(Ok(false), |error| Err(Stop::Invalid(error)))
    }

    async fn key(&mut self, pem: &Secret) -> Result<bool, Stop> {
        let key = PrivateKey::from_openssh(pem.expose()).map_err(|error| {
            Stop::Invalid(Error::Invalid(format!(
                "the private key for {} cannot be read as one of OpenSSH's: {error}",
                self.whom
            )))
        })?;
        if key.is_encrypted() {
            return Err(Stop::Invalid(Error::Invalid(format!(
                "the private key for {} has a passphrase: give one without",
                self.whom
            ))));
        }
        if !self.may(MethodKind::PublicKey) {
            return Ok(false);
        }
        let hash = if key.algorithm().is_rsa() { self.rsa_hash().await? } else { None };
        self.tried("publickey");
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.handle.authenticate_publickey(&self.target.user, key).await?;
        Ok(self.note(answer))
    }

    /// SHA-1 signatures only where the target names them and the server knows nothing better.
    async fn rsa_hash(&self) -> Result<Option<HashAlg>, russh::Error> {
        let sha1 = self.target.legacy_algorithms.iter().any(|name| name == SSH_RSA);
        Ok(match self.handle.best_supported_rsa_hash().await? {
            Some(Some(hash)) => Some(hash),
            _ if sha1 => None,
            _ => Some(HashAlg::Sha256),
        })
    }

    async fn password(&mut self, password: &Secret) -> Result<bool, Stop> {
        if self.may(MethodKind::Password) {
            self.tried("password");
            let answer = self.handle.authenticate_password(&self.target.user, password.expose()).await?;
            if self.note(answer) {
                return Ok(true);
            }
        }
        if self.handle.is_closed() || !self.may(MethodKind::KeyboardInteractive) {
            return Ok(false);
        }
        self.tried("keyboard-interactive");
        let mut answer = self.handle.authenticate_keyboard_interactive_start(&self.target.user, None).await?;
        for _ in 0..QUESTION_ROUNDS {
            match answer {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                    self.accepted = Some(remaining_methods.to_vec());
                    return Ok(false);
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    // What is shown while it is typed is no password; an empty answer lets the server decide.
                    let answers = prompts
                        .iter()
                        .map(|prompt| if prompt.echo { String::new() } else { password.expose().to_owned() })
                        .collect();
                    answer = self.handle.authenticate_keyboard_interactive_respond(answers).await?;
                }
            }
        }
        Ok(false)
    }

    fn may(&self, method: MethodKind) -> bool {
        self.accepted.as_ref().is_none_or(|accepted| accepted.contains(&method))
    }

    fn tried(&mut self, method: &'static str) {
        if !self.tried.contains(&method) {
            self.tried.push(method);
        }
    }

    /// Whether we are in; else remembers which methods can go on.
    fn note(&mut self, answer: AuthResult) -> bool {
        match answer {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, .. } => {
                self.accepted = Some(remaining_methods.to_vec());
                false
            }
        }
    }
}
