//! What the server says to plain HTTP, byte by byte, where no client of others shows it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use winrm_peer::{Action, Cut, Moment, Options, Server, Split};

const CMD: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
const CREATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create";
const SHELL: &str = "<rsp:Shell><rsp:Lifetime>PT1S</rsp:Lifetime></rsp:Shell>";

/// Sends a request on a connection of its own, and reads all that comes.
async fn exchange(server: &Server, line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n");
    stream.write_all(format!("{request}{headers}\r\n{body}").as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A connection that is cut may end in an error.
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8(reply).unwrap()
}

async fn server() -> Server {
    Server::start(Options { allow_unencrypted: true, ..Options::http("user", "password") }).await.unwrap()
}

/// Sends an envelope, logged in.
async fn ask(server: &Server, action: &str, headers: &str, body: &str) -> String {
    let login = BASE64_STANDARD.encode("user:password");
    let envelope = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
         xmlns:rsp=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell\">\
         <s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:1-2&amp;3</a:MessageID>\
         <w:ResourceURI>{CMD}</w:ResourceURI>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    );
    exchange(server, "POST /wsman", &format!("Authorization: Basic {login}\r\n"), &envelope).await
}

#[tokio::test]
async fn who_is_not_known_is_told_how_to_become_so() {
    let server = Server::start(Options::http("user", "password")).await.unwrap();
    let reply = exchange(&server, "POST /wsman", "", "").await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
    assert!(reply.contains("www-authenticate: Negotiate\r\n") && !reply.contains("Basic"), "{reply}");
    let reply = exchange(&server, "POST /wsman", "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n", "").await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "Basic on plain HTTP: {reply}");
    assert!(exchange(&server, "GET /wsman", "", "").await.starts_with("HTTP/1.1 405 "));
    assert!(exchange(&server, "POST /", "", "").await.starts_with("HTTP/1.1 404 "));
    assert_eq!((server.counters().connections, server.counters().unauthorized), (4, 2));
}

#[tokio::test]
async fn anybody_may_ask_who_is_there() {
    let server = server().await;
    let body = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
                xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">\
                <s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>";
    let reply = exchange(&server, "POST /wsman-anon/identify", "", body).await;
    assert!(reply.contains("<wsmid:ProductVendor>Microsoft Corporation<"), "{reply}");
    let reply = exchange(&server, "POST /wsman", "", body).await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
    assert_eq!(server.counters().action(Action::Identify), 1);
}

#[tokio::test]
async fn what_is_not_understood_is_a_fault_that_says_so() {
    let server = server().await;
    let unknown = "<x:Odd xmlns:x=\"urn:x\" s:mustUnderstand=\"true\"/>";
    let option = "<w:OptionSet><w:Option Name=\"WINRS_ODD\">1</w:Option></w:OptionSet>";
    for (action, headers, body, code) in [
        (CREATE, unknown, SHELL, 2_150_858_768_u32),
        (CREATE, option, SHELL, 2_150_858_834),
        (CREATE, "<w:OperationTimeout>60</w:OperationTimeout>", SHELL, 2_150_858_817),
        (CREATE, "", "", 2_150_858_817),
        ("http://schemas.xmlsoap.org/ws/2004/09/transfer/Put", "", "", 2_150_858_753),
        ("http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete", "", "", 2_150_858_843),
    ] {
        let reply = ask(&server, action, headers, body).await;
        assert!(reply.starts_with("HTTP/1.1 500 ") && reply.contains(&format!("Code=\"{code}\"")), "{reply}");
    }
    // Options outside of the header are not seen.
    let reply = ask(&server, CREATE, "", &format!("{option}{SHELL}")).await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains("<a:RelatesTo>uuid:1-2&amp;3</a:RelatesTo>"), "{reply}");
    assert!(
        exchange(&server, "POST /wsman", "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n", "<x")
            .await
            .contains("2150858817")
    );
}

#[tokio::test]
async fn a_shell_ends_when_its_life_is_over() {
    let server = server().await;
    let begun = Instant::now();
    assert!(ask(&server, CREATE, "", SHELL).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.counters().shells_made, 1);
    let over = server.until(|counters| counters.shells_open == 0);
    tokio::time::timeout(Duration::from_secs(20), over).await.expect("it ends by itself");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn replies_are_late_cut_or_in_pieces_as_asked() {
    let server = server().await;
    let whole = ask(&server, CREATE, "", SHELL).await;
    let body = |reply: &str| reply.split_once("\r\n\r\n").map(|(_, body)| body.len()).unwrap_or_default();
    for (moment, length, made) in
        [(Moment::BeforeRead, 0, 1), (Moment::BeforeReply, 0, 2), (Moment::InReply, body(&whole) / 2, 3)]
    {
        server.faults().cut(Cut { at: 1, action: None, moment });
        let reply = ask(&server, CREATE, "", SHELL).await;
        assert_eq!((body(&reply), server.counters().shells_made), (length, made), "{moment:?}");
    }
    server.faults().split(Some(Split { bytes: 100, chunked: true }));
    server.faults().delay(Duration::from_millis(200));
    let begun = Instant::now();
    let reply = ask(&server, CREATE, "", SHELL).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(reply.contains("transfer-encoding: chunked\r\n") && reply.matches("\r\n64\r\n").count() > 10);
}
