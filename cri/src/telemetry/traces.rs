//! The daemon's words: its log on standard error, and its traces at an OpenTelemetry collector.
//!
//! ```text
//!   kubelet --traceparent--> RPC span -> pod owner's span -> steps (network, machine, boot, command in the guest)
//!                                                     `--batches, OTLP over gRPC--> [tracing] endpoint
//! ```
//!
//! Happy path: [`open`] is called once, before anything else speaks. A call that comes with the trace context of the
//! W3C, as a kubelet that traces sends it, becomes a part of that trace; every other call begins one of its own.
//!
//! Failure paths: spans wait in a bounded queue of the library, beyond which they are dropped. A collector that cannot be
//! reached costs a warning in the log; nothing waits for it but, for a bounded time, the end of the daemon.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderName, Request};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::TracingSection;
use crate::error::{Error, Result};

/// How long the collector may take to take a batch.
const EXPORT: Duration = Duration::from_secs(5);
/// Whose spans are traced.
const OURS: [&str; 5] = ["cri", "transports", "guests", "machines", "images"];

/// The traces of this process. What still waits is sent by [`Traces::close`].
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

/// Opens the log, and the traces where the configuration says where to.
pub fn open(section: &TracingSection) -> Result<Traces> {
    let filter = EnvFilter::try_from_env("INFRANETES_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A file or a journal would keep the colours as characters.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log =
        tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr).with_filter(filter);
    let provider = section.endpoint.as_deref().map(|endpoint| provider(endpoint, section)).transpose()?;
    let traced = provider.as_ref().map(|provider| {
        let ours = OURS.map(|name| (name, tracing::Level::DEBUG));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("infranetes"))
            .with_filter(Targets::new().with_targets(ours))
    });
    tracing_subscriber::registry().with(log).with(traced).init();
    Ok(Traces(provider))
}

fn provider(endpoint: &str, section: &TracingSection) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT)
        .build()
        .map_err(|source| Error::failed(format!("cannot send traces to {endpoint}"), source))?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(section.sample_ratio)));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(Resource::builder().with_service_name("infranetes").build())
        .build())
}

impl Traces {
    /// Sends what still waits, for a bounded time.
    pub async fn close(self) {
        let Some(provider) = self.0 else { return };
        let closed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT));
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The span of an RPC, which is part of its caller's trace where he has one.
pub fn rpc_span(request: &Request<()>) -> Span {
    let path = request.uri().path();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or(("", path));
    let span = tracing::debug_span!(
        "rpc",
        otel.name = path.trim_start_matches('/'),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // Only the log has this span: there is nothing to be a part of.
        let _ = span.set_parent(parent);
    }
    span
}

/// Notes in an RPC's span how it ended.
pub fn rpc_ended(code: Code) {
    let span = Span::current();
    span.record("rpc.grpc.status_code", i32::from(code));
    if !matches!(code, Code::Ok | Code::NotFound) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Where the caller's trace context stands.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
