//! A guest that speaks `WinRM`, and whose programs are those of this machine.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use transports::winrm::{Interpreter, Security};
use transports::{Credential, Identity, Session, Target, Transport as _, Winrm, WinrmOptions};
use winrm_peer::{Action, Cut, Moment, Options, Server};

use super::Guest;

const USER: &str = "Administrator";
const PASSWORD: &str = "a password";

/// The server that stands for Windows.
pub(super) struct Windows {
    pub(super) server: Arc<Server>,
    tls: bool,
}

/// A guest, over HTTPS or over sealed HTTP.
pub(super) async fn guest(tls: bool) -> (Guest, Windows) {
    let options = if tls { Options::https(USER, PASSWORD) } else { Options::http(USER, PASSWORD) };
    let windows = Windows { server: Arc::new(Server::start(options).await.unwrap()), tls };
    let there = TempDir::new().unwrap();
    let guest = Guest {
        session: windows.session().await,
        there: there.path().to_str().unwrap().to_owned(),
        here: TempDir::new().unwrap(),
        _server: Box::new((Arc::clone(&windows.server), there)),
    };
    (guest, windows)
}

impl Windows {
    pub(super) async fn session(&self) -> Arc<dyn Session> {
        let security = if self.tls { Security::Tls } else { Security::SealedMessages };
        let pin = |certificate| {
            Identity::Pinned(vec![format!("SHA256:{}", hex::encode(Sha256::digest(certificate)))])
        };
        let target = Target {
            address: self.server.address(),
            user: USER.into(),
            host_name: None,
            credentials: vec![Credential::Password(PASSWORD.into())],
            identity: self.server.certificate_der().map_or(Identity::TrustOnFirstUse, pin),
            legacy_algorithms: Vec::new(),
        };
        let options = WinrmOptions { security, interpreter: Interpreter::None, ..WinrmOptions::default() };
        Winrm::new(options).connect(&target).await.unwrap().into()
    }

    /// Cuts the connection that carries a program's input at its nth message.
    pub(super) fn cut_at_input(&self, at: u32) {
        let cut = Cut { at, action: Some(Action::Send), moment: Moment::BeforeRead };
        self.server.faults().cut(cut);
    }
}
