//! The server: a listener, and what its connections share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authentication::Key;
use crate::certificate::Certificate;
use crate::connection;
use crate::counters::{Counters, Counting};
use crate::faults::Faults;
use crate::options::{Options, Scheme};
use crate::process::Wine;
use crate::shells::Shells;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<Certificate>,
    /// The key of `CredSSP`, where that is offered.
    pub(crate) key: Option<Key>,
    pub(crate) faults: Faults,
    pub(crate) counting: Counting,
    pub(crate) shells: Arc<Shells>,
    /// Cancelled and replaced when all connections are cut.
    connections: Mutex<CancellationToken>,
    /// Counts how often all logins were forgotten.
    pub(crate) forgotten: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, and serves in the background.
    pub async fn start(options: Options) -> Result<Self> {
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let address = listener.local_addr().context("a listener without an address")?;
        let certificate = match &options.certificate {
            _ if !options.tls => None,
            Some(path) => Some(Certificate::kept(path, address.ip())?),
            None => Some(Certificate::make(address.ip())?),
        };
        let key = if options.schemes.contains(&Scheme::CredSsp) {
            Some(Key::new(options.credssp.between.is_some()).await?)
        } else {
            None
        };
        let wine = match &options.wine_prefix {
            Some(prefix) => Some(Wine::start(prefix).await?),
            None => None,
        };
        let counting = Counting::new();
        let shared = Arc::new(Shared {
            address,
            certificate,
            key,
            faults: Faults::default(),
            shells: Shells::new(options.limits.clone(), counting.clone(), wine),
            counting,
            connections: Mutex::default(),
            forgotten: AtomicU64::new(0),
            options,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What a client calls it by.
    pub fn url(&self) -> String {
        format!("{}://{}/wsman", if self.shared.options.tls { "https" } else { "http" }, self.shared.address)
    }

    /// Its own certificate, where it speaks TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.shared.certificate.as_ref().map(|certificate| certificate.pem.as_str())
    }

    /// The same as DER.
    pub fn certificate_der(&self) -> Option<&[u8]> {
        self.shared.certificate.as_ref().map(|certificate| certificate.der.as_ref())
    }

    /// Its fingerprint, as clients pin it.
    pub fn fingerprint(&self) -> Option<String> {
        let bytes = self.shared.certificate.as_ref()?.fingerprint();
        Some(bytes.iter().fold("SHA256:".to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.counting.now()
    }

    /// Waits until the counters are so. It has no deadline of its own.
    pub async fn until(&self, so: impl FnMut(&Counters) -> bool) -> Counters {
        self.shared.counting.until(so).await
    }

    /// What shall go wrong.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Cuts all connections at once, without a word. What runs goes on.
    pub fn cut_connections(&self) {
        self.shared.cut_connections();
    }

    /// Forgets who is known on the connections that there are: their next requests are answered with 401.
    pub fn forget_logins(&self) {
        self.shared.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    /// Loses all shells, and kills what runs in them, as a restart of the service does; connections stay.
    pub fn lose_shells(&self) {
        self.shared.shells.lose();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.cut_connections();
        self.shared.shells.lose();
    }
}

impl Shared {
    fn cut_connections(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *connections).cancel();
    }

    fn connected(&self) -> CancellationToken {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let acceptor =
        shared.certificate.as_ref().map(|certificate| TlsAcceptor::from(Arc::clone(&certificate.config)));
    loop {
        // One that went away before it was taken is no reason to end.
        let Ok((socket, peer)) = listener.accept().await else { continue };
        if shared.faults.refuses() {
            continue;
        }
        let _ = socket.set_nodelay(true);
        let (shared, acceptor, cut) = (Arc::clone(&shared), acceptor.clone(), shared.connected());
        shared.counting.change(|counters| {
            counters.connections += 1;
            counters.connections_open += 1;
        });
        tokio::spawn(async move {
            cut.run_until_cancelled(one(Arc::clone(&shared), acceptor, socket, peer)).await;
            shared.counting.change(|counters| counters.connections_open -= 1);
        });
    }
}

async fn one(shared: Arc<Shared>, acceptor: Option<TlsAcceptor>, socket: TcpStream, peer: SocketAddr) {
    match acceptor {
        None => connection::serve(shared, peer, socket).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(socket).await {
                connection::serve(shared, peer, stream).await;
            }
        }
    }
}
