//! The daemon's traces, at a collector that speaks OTLP.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use crate::client::pod;

/// The caller's trace and span, as a kubelet would send them.
const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

/// What has come so far.
#[derive(Clone)]
struct Collector(Arc<watch::Sender<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        self.0.send_modify(|all| all.extend(scopes.flat_map(|scope| scope.spans)));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_part_of_its_callers_trace_with_its_steps() {
    // The node has a namespace of its own, in which the collector listens too.
    let (node, mut client) = crate::bare_node_with("[tracing]\nendpoint = \"http://127.0.0.1:4317\"").await;
    let listener = node.namespace().listen(([127, 0, 0, 1], 4317).into()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let (spans, mut seen) = watch::channel(Vec::new());
    let service = TraceServiceServer::new(Collector(Arc::new(spans)));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let collector =
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));

    let mut request = Request::new(proto::runtime::v1::RunPodSandboxRequest {
        config: Some(pod("traced", &node.pod_logs())),
        runtime_handler: String::new(),
    });
    request
        .metadata_mut()
        .insert("traceparent", format!("00-{TRACE:032x}-{PARENT:016x}-01").parse().unwrap());
    client.runtime.run_pod_sandbox(request).await.unwrap();
    let error = client.status("nobody").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let error = client.create("nobody", "x", "no/such:image").await.unwrap_err();
    let failed = i64::from(i32::from(error.code()));

    let all = |spans: &Vec<Span>| {
        ["RunPodSandbox", "attach network", "ContainerStatus", "CreateContainer"]
            .iter()
            .all(|name| spans.iter().any(|span| span.name.ends_with(name)))
    };
    let seen =
        tokio::time::timeout(Duration::from_secs(60), seen.wait_for(all)).await.expect("the spans come");
    let seen = seen.unwrap().clone();
    let named = |name: &str| seen.iter().find(|span| span.name.ends_with(name)).unwrap();
    let run = named("RunPodSandbox");
    let of_caller = |span: &Span| span.trace_id == TRACE.to_be_bytes();
    assert!(of_caller(run) && run.parent_span_id == PARENT.to_be_bytes(), "{run:?}");
    let step = named("attach network");
    assert!(of_caller(step) && step.parent_span_id == run.span_id, "{step:?}");
    assert!(step.end_time_unix_nano <= run.end_time_unix_nano);
    let own = named("ContainerStatus");
    assert!(!of_caller(own) && own.parent_span_id.is_empty(), "it begins a trace of its own");
    let told = |span: &Span| {
        let code = span.attributes.iter().find(|attribute| attribute.key == "rpc.grpc.status_code").unwrap();
        format!("{:?}", code.value)
    };
    assert!(told(run).contains("IntValue(0)"), "{}", told(run));
    let create = named("CreateContainer");
    assert!(told(create).contains(&format!("IntValue({failed})")), "{}", told(create));
    collector.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let (mut node, mut client) =
        crate::bare_node_with("[tracing]\nendpoint = \"http://127.0.0.1:4317\"").await;
    client.run_pod(&pod("untraced", &node.pod_logs())).await.unwrap();
    tokio::task::block_in_place(|| node.daemon().terminate()).unwrap();
    let ended = tokio::task::block_in_place(|| node.daemon().wait_for_end(Duration::from_secs(30))).unwrap();
    let log = std::fs::read_to_string(node.log()).unwrap();
    assert!(ended.success(), "{ended}: {log}");
    assert!(log.contains("Traces") && log.contains("Connection refused"), "{log}");
}
