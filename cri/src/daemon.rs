//! The daemon from its start to its end.
//!
//! ```text
//!  configuration -> directories, lock, store -> providers, network, images -> recover pods -> a look at the delegate
//!                -> socket -> serve -> drain
//! ```
//!
//! The socket exists only once every pod of the store is back, so the kubelet never sees a half of them. On SIGTERM or
//! SIGINT no new call is taken, those under way have `drain-seconds` to end, and the machines go on without a daemon. One
//! that comes before there is a socket ends the start: what was not brought back by then is left to the next, as after a kill.
//!
//! Failure paths: a second daemon on the same state directory is refused by the store's lock before anything is
//! touched. A socket left by a daemon that was killed is replaced; one that answers is another daemon's, and refused.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use machines::qemu::Qemu;
use machines::{Fleet, NullProvider, Provider};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::util::option_layer;

use crate::config::{Config, ProviderConfig};
use crate::delegate::{Delegate, RouterLayer};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::node::Node;
use crate::pod::{Changes, Context, pay_debts, recover};
use crate::service;
use crate::stats::Collector;
use crate::store::Store;
use crate::streaming;
use crate::telemetry;
use crate::volume::Watcher;

/// Serves until a signal asks for the end.
pub async fn serve(config: Config) -> Result<()> {
    let mut asked = pin!(asked_to_stop());
    let socket = config.socket.clone();
    let drain = Duration::from_secs(config.timeouts.drain_seconds);
    let (node, streams, delegate) = tokio::select! {
        started = start(config) => started?,
        () = &mut asked => {
            tracing::info!("stopped before anything was served; the machines go on");
            return Ok(());
        }
    };
    if let Some(address) = node.context().config.metrics.address {
        telemetry::serve(&node, address).await?;
    }
    let listener = bind(&socket).await?;
    let streams = AbortOnDropHandle::new(tokio::spawn(streams.serve(Arc::clone(&node))));
    tracing::info!(socket = %socket.display(), pods = node.pods.views().len(), "serving");

    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let server = tonic::transport::Server::builder()
        .trace_fn(telemetry::traces::rpc_span)
        .layer(service::DeadlineLayer)
        .layer(option_layer(delegate.map(|delegate| RouterLayer::new(node.clone(), delegate))))
        .add_routes(service::routes(&node))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async {
            asked.await;
            node.stopping.cancel();
            let _ = stopping.send(());
        });
    let patience = async {
        let _ = stopped.await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        result = server => result.map_err(|source| Error::failed("the server failed", source))?,
        () = patience => tracing::warn!("calls were still under way when the drain time was over"),
    }
    drop(streams);
    let _ = std::fs::remove_file(&socket);
    tracing::info!("stopped; the machines go on");
    Ok(())
}

/// All that comes before anything is served.
async fn start(config: Config) -> Result<(Arc<Node>, streaming::Server, Option<Arc<Delegate>>)> {
    directories(&config)?;
    let store = Store::open(&config.state_dir)?;
    let context = Arc::new(context(config, store).await?);
    look_at_providers(&context);
    let (streaming, streams) = streaming::open(&context.config.streaming).await?;
    let pods = Arc::new(recover(Arc::clone(&context)).await?);
    pay_debts(&context);
    let delegate = delegate(&context.config).await?;
    let node = Arc::new(Node {
        stats: Collector::start(Arc::clone(&pods)),
        pods,
        streaming,
        stopping: CancellationToken::new(),
    });
    Ok((node, streams, delegate))
}

fn directories(config: &Config) -> Result<()> {
    for (path, mode) in [
        (config.state_dir.as_path(), 0o711),
        (config.run_dir.as_path(), 0o711),
        (config.logs_dir().as_path(), 0o700),
    ] {
        std::fs::create_dir_all(path)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
            .map_err(|source| {
                Error::failed(format!("cannot make the directory {}", path.display()), source)
            })?;
    }
    Ok(())
}

async fn context(config: Config, store: Store) -> Result<Context> {
    let images = images::Store::open(&config.images_dir(), config.images.limits()).await?;
    let mut providers: BTreeMap<String, Arc<dyn Provider>> = BTreeMap::new();
    let mut answering = BTreeSet::new();
    for (name, provider) in &config.providers {
        match provider {
            ProviderConfig::Qemu(section) => {
                providers.insert(name.clone(), Arc::new(Qemu::open(config.qemu(name, section))?));
                answering.insert(name.clone());
            }
            ProviderConfig::Fleet(section) => {
                let root = config.machines_dir().join(name);
                providers.insert(name.clone(), Arc::new(Fleet::open(&root, &section.inventory)?));
                answering.insert(name.clone());
            }
            ProviderConfig::Null {} => {
                providers.insert(name.clone(), Arc::new(NullProvider::default()));
            }
        }
    }
    let network = Network::open(config.network_config()?)?;
    let watcher =
        Watcher::open().map_err(|source| Error::failed("cannot watch the volumes of pods", source))?;
    let changes = Changes::default();
    Ok(Context { config, store, images, network, providers, answering, watcher: Arc::new(watcher), changes })
}

/// The runtime beside ours, once it was asked what it runs.
async fn delegate(config: &Config) -> Result<Option<Arc<Delegate>>> {
    let Some(section) = &config.delegate else { return Ok(None) };
    let delegate = Delegate::open(section, config)?;
    delegate.first_look().await;
    Ok(Some(delegate))
}

/// Has every provider find out what the node can do, before the first pod waits for that.
fn look_at_providers(context: &Context) {
    for (name, provider) in context.providers.clone() {
        tokio::spawn(async move {
            if let Err(error) = provider.check().await {
                tracing::warn!(provider = name, %error, "not ready");
            }
        });
    }
}

async fn bind(socket: &Path) -> Result<UnixListener> {
    let failed =
        |source: std::io::Error| Error::failed(format!("cannot listen on {}", socket.display()), source);
    if let Some(parent) = socket.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    if tokio::net::UnixStream::connect(socket).await.is_ok() {
        return Err(Error::Conflict(format!(
            "something already answers on {}; stop it, or configure another `socket`",
            socket.display()
        )));
    }
    match std::fs::remove_file(socket) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Waits for the signal that asks for the end. Signals are received from this call on, not only from the first wait.
fn asked_to_stop() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else {
            tracing::error!("signals cannot be received; end the daemon with SIGKILL");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: stopping"),
            _ = int.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}
