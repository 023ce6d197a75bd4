//! Where sessions are opened: what is refused, and that a token opens one session only. None needs a machine.

use std::io::Write as _;
use std::process::Stdio;

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
async fn a_certificate_turns_it_into_tls() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=node",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let config = format!("[streaming]\ntls-certificate = \"{certificate}\"\ntls-key = \"{key}\"");
    let (node, mut client) = crate::bare_node_with(&config).await;
    let id = client.run_pod(&pod("forwarded", &node.pod_logs())).await.unwrap();
    let request = cri::PortForwardRequest { pod_sandbox_id: id, port: vec![] };
    let url = client.runtime.port_forward(request).await.unwrap().into_inner().url;
    let (host, path) = url.strip_prefix("https://").expect("TLS").split_once('/').unwrap();
    let mut spoken = node.namespace().command("openssl");
    spoken.args(["s_client", "-connect", host, "-CAfile", &certificate, "-verify_return_error"]);
    spoken.args(["-verify_ip", "127.0.0.1", "-quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut spoken = spoken.spawn().unwrap();
    let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    spoken.stdin.as_mut().unwrap().write_all(head.as_bytes()).unwrap();
    let answer = tokio::task::block_in_place(|| spoken.wait_with_output()).unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request"),
        "the token is one, the request no session: {answer}"
    );
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
