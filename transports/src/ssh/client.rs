//! Our half of one connection as the SSH library asks for it: the host key check, and why the connection ended.

use russh::Names;
use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

use super::identity::{Expected, fingerprint};

/// The most characters kept of a text that the server sent for people.
const TEXT_MAX_CHARS: usize = 200;

/// How a server names itself that takes a single command at a time: Dropbear closes a channel which it has opened, and
/// whose command it has not been told yet, when at that moment another command of the connection ends.
const ONE_BY_ONE: &[u8] = b"SSH-2.0-dropbear";

/// What ended a connection attempt or a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server showed another key than the expected one.
    #[error("shows the host key {}", fingerprint(.0))]
    OtherKey(PublicKey),
    /// Everything else.
    #[error(transparent)]
    Protocol(#[from] russh::Error),
}

/// What the library's task and ours share about a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    key: Mutex<Option<PublicKey>>,
    banner: Mutex<String>,
    one_by_one: AtomicBool,
}

impl Seen {
    /// The host key that was accepted.
    pub(super) fn key(&self) -> Option<PublicKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the server is one that takes a single command at a time.
    pub(super) fn one_by_one(&self) -> bool {
        self.one_by_one.load(Ordering::Relaxed)
    }

    /// What the server said to people before the authentication, cleaned; often why it refuses.
    pub(super) fn banner(&self) -> String {
        self.banner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The library's callbacks.
pub(super) struct Client {
    pub(super) expected: Expected,
    pub(super) seen: Arc<Seen>,
    pub(super) ended: watch::Sender<Option<String>>,
}

impl Handler for Client {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            // Certificates are never offered, so a server cannot choose one.
            return Ok(false);
        };
        if !self.expected.accepts(key) {
            return Err(Failure::OtherKey(key.clone()));
        }
        *self.seen.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(true)
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, _: &Names, session: &mut Session) -> Result<(), Failure> {
        let one_by_one = session.remote_sshid().starts_with(ONE_BY_ONE);
        self.seen.one_by_one.store(one_by_one, Ordering::Relaxed);
        Ok(())
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Failure> {
        *self.seen.banner.lock().unwrap_or_else(PoisonError::into_inner) = clean(banner);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        let text = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the guest ended the connection: {}", clean(&info.message))
            }
            DisconnectReason::Error(Failure::Protocol(error)) => describe(&error),
            DisconnectReason::Error(failure) => failure.to_string(),
        };
        self.ended.send_replace(Some(text));
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some("the connection was closed".into());
            }
            first
        });
    }
}

/// Why a connection to a guest that fell silent has ended.
pub(super) const SILENT: &str = "the guest gave no sign of life";

/// The library's error in a person's words.
pub(super) fn describe(error: &russh::Error) -> String {
    match error {
        russh::Error::HUP | russh::Error::Disconnect => "the guest closed the connection".into(),
        russh::Error::KeepaliveTimeout => SILENT.into(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => format!(
            "no common {kind:?} algorithm, the guest has only {}: name one of them among the legacy algorithms",
            clean(&theirs.join(", "))
        ),
        russh::Error::IO(error) => error.to_string().to_lowercase(),
        other => {
            let text = other.to_string();
            let mut characters = text.chars();
            characters.next().map_or_else(String::new, |first| {
                first.to_lowercase().chain(characters).take(TEXT_MAX_CHARS).collect()
            })
        }
    }
}

/// A guest's text on one line, without control characters, bounded.
pub(super) fn clean(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(TEXT_MAX_CHARS).collect()
}
