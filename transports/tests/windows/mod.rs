//! A guest that speaks `WinRM`: a server that stands for Windows, and the target by which it is reached.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;
use transports::winrm::{Interpreter, Method, Security};
use transports::{Credential, Identity, Session, Target, Transport as _, Winrm, WinrmOptions};
use winrm_peer::{Options, Scheme, Server};

use crate::contract::{Ability, Guest};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub const USER: &str = "Administrator";
pub const PASSWORD: &str = "pass wörd 1";

/// A server and how it is reached.
pub struct Windows {
    pub server: Server,
    pub options: WinrmOptions,
    /// Its name in a domain.
    pub host_name: Option<String>,
}

/// HTTPS with Basic.
pub async fn https() -> Windows {
    with(Options { schemes: vec![Scheme::Basic], ..Options::https(USER, PASSWORD) }).await
}

/// HTTP with what Windows offers.
pub async fn http() -> Windows {
    with(Options::http(USER, PASSWORD)).await
}

/// A guest that offers `CredSSP` too, which is what we ask for.
pub async fn credssp(mut options: Options) -> Windows {
    options.schemes.push(Scheme::CredSsp);
    let mut windows = with(options).await;
    windows.options.methods = vec![Method::CredSsp];
    windows
}

/// A server of one's own making, for the usual user.
pub async fn with(options: Options) -> Windows {
    let security = if options.tls { Security::Tls } else { Security::SealedMessages };
    let server = Server::start(options).await.unwrap();
    Windows {
        server,
        options: WinrmOptions { security, interpreter: Interpreter::None, ..WinrmOptions::default() },
        host_name: None,
    }
}

/// A server of the usual user, to be changed.
pub fn options(tls: bool) -> Options {
    if tls { Options::https(USER, PASSWORD) } else { Options::http(USER, PASSWORD) }
}

impl Windows {
    pub fn transport(&self) -> Winrm {
        Winrm::new(self.options.clone())
    }

    pub fn target(&self) -> Target {
        Target {
            address: self.server.address(),
            user: USER.into(),
            host_name: self.host_name.clone(),
            credentials: vec![Credential::Password(PASSWORD.into())],
            identity: self.server.certificate_der().map_or(Identity::TrustOnFirstUse, pin),
            legacy_algorithms: Vec::new(),
        }
    }

    pub async fn session(&self) -> Box<dyn Session> {
        self.transport().connect(&self.target()).await.expect("the guest lets us in")
    }

    /// The same as the contract wants it.
    pub fn guest(self) -> Guest {
        Guest {
            transport: Arc::new(self.transport()),
            target: self.target(),
            other: pin(b"another certificate"),
            lacks: match self.options.security {
                Security::Tls => &[Ability::Signals, Ability::Terminals, Ability::PortForward],
                Security::SealedMessages => {
                    &[Ability::Identity, Ability::Signals, Ability::Terminals, Ability::PortForward]
                }
            },
            cut: Box::new(move || {
                // What runs is asked for its output; else the next question would just go over another connection.
                let asked = self.server.until(|now| now.receives_waiting == now.processes);
                let asked = timeout(PATIENCE, asked);
                block_in_place(|| Handle::current().block_on(asked)).expect("it waits for output");
                self.server.cut_connections();
            }),
        }
    }
}

fn pin(certificate: &[u8]) -> Identity {
    use sha2::Digest as _;
    Identity::Pinned(vec![format!("SHA256:{}", hex::encode(sha2::Sha256::digest(certificate)))])
}
