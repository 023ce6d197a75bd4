//! The little HTTP server of `/metrics` and `/healthz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::metrics;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::runtime;

/// How many clients are served at once.
const AT_ONCE: usize = 16;
/// How long a client may take for its question and for reading the answer.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long the parts of the daemon may take to say whether they are well.
const HEALTH: Duration = Duration::from_secs(5);
/// How long nobody is let in after that has failed: the process has no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// What the text of the metrics is.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens from now on, for as long as the daemon runs.
pub async fn serve(node: &Arc<Node>, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|source| {
        let what = format!("cannot listen on [metrics] address {address}; give another one, or none at all");
        Error::failed(what, source)
    })?;
    tracing::info!(%address, "metrics are told");
    tokio::spawn(accept(listener, Arc::clone(node)));
    Ok(())
}

async fn accept(listener: TcpListener, node: Arc<Node>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no client of the metrics can be let in");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // One too many is hung up on.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION, connection(stream, &node)).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, node: &Arc<Node>) {
    let answer = |request: Request<Incoming>| {
        let node = Arc::clone(node);
        async move { Ok::<_, Infallible>(answer(&node, request.method(), request.uri().path()).await) }
    };
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client of the metrics broke off");
    }
}

async fn answer(node: &Node, method: &Method, path: &str) -> Response<Full<Bytes>> {
    match (method, path) {
        (&Method::GET, "/metrics") => text(StatusCode::OK, OPEN_METRICS, metrics::text(node)),
        (&Method::GET, "/healthz") => match tokio::time::timeout(HEALTH, runtime::status::unwell(node)).await
        {
            Ok(reasons) if reasons.is_empty() => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
            Ok(reasons) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", reasons.join("\n") + "\n"),
            Err(_) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the node does not answer\n".to_owned())
            }
        },
        _ => {
            text(StatusCode::NOT_FOUND, "text/plain", "there are GET /metrics and GET /healthz\n".to_owned())
        }
    }
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
