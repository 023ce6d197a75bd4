//! Where sessions are opened: what is refused, and that a token opens one session only. None needs a machine.

use proto::runtime::v1 as cri;
use tests::Node;
use tonic::Code;

use crate::client::pod;

/// What the streaming server answers to a plain request.
fn answer(node: &Node, url: &str) -> String {
    let output = node.namespace().command("busybox").args(["wget", "-S", "-O", "-", url]).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_it_is_for_once() {
    let (mut node, mut client) = crate::bare_node().await;
    let id = client.run_pod(&pod("forwarded", &node.pod_logs())).await.unwrap();
    let request = cri::PortForwardRequest { pod_sandbox_id: id, port: vec![80] };
    let url = client.runtime.port_forward(request.clone()).await.unwrap().into_inner().url;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let plain = answer(&node, &url);
    assert!(plain.contains("400 Bad Request"), "a plain request is no session: {plain}");
    let again = answer(&node, &url);
    assert!(again.contains("404 Not Found"), "it was used: {again}");
    let other = client.runtime.port_forward(request).await.unwrap().into_inner().url;
    assert_ne!(url, other);
    let elsewhere = answer(&node, &other.replace("portforward", "exec"));
    assert!(elsewhere.contains("404 Not Found"), "it is bound to its request: {elsewhere}");
    let base = url.rsplit_once('/').unwrap().0;
    for guess in ["", "/0", "/00000000000000000000000000000000", "/../exec"] {
        let guessed = answer(&node, &format!("{base}{guess}"));
        assert!(guessed.contains("404 Not Found"), "{guess}: {guessed}");
    }
    let log = node.daemon().printed();
    assert!(log.matches("a streaming URL that was used, has expired, or never was").count() >= 6, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_at_once() {
    let (_node, client) = crate::bare_node().await;
    let mut runtime = client.runtime;
    let exec = |container_id: &str, tty, stderr, cmd: &[&str]| cri::ExecRequest {
        container_id: container_id.into(),
        cmd: cmd.iter().map(|&word| word.into()).collect(),
        tty,
        stdin: false,
        stdout: stderr,
        stderr,
    };
    for (request, code, part) in [
        (exec("none", false, true, &["true"]), Code::NotFound, "container none does not exist"),
        (exec("none", false, false, &["true"]), Code::InvalidArgument, "asks for no stream"),
        (exec("none", true, true, &["true"]), Code::InvalidArgument, "no separate stderr"),
        (exec("none", false, true, &[]), Code::InvalidArgument, "cmd is empty"),
    ] {
        let status = runtime.exec(request).await.unwrap_err();
        assert!(status.code() == code && status.message().contains(part), "{part}: {status}");
    }
    let attach = cri::AttachRequest { container_id: "none".into(), stdout: true, ..Default::default() };
    assert_eq!(runtime.attach(attach).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        runtime.attach(cri::AttachRequest::default()).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let forward = cri::PortForwardRequest { pod_sandbox_id: "none".into(), port: vec![] };
    assert_eq!(runtime.port_forward(forward).await.unwrap_err().code(), Code::NotFound);
}
