//! A proxy before a registry that counts, cuts and falsifies what passes.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Where it wants the answer to begin.
    pub(crate) offset: Option<u64>,
    /// The address that it was sent to.
    pub(crate) host: String,
    /// The credential that it showed.
    pub(crate) authorization: Option<String>,
}

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// One byte of the body is another.
    Corrupt,
    /// After so many bytes of the body, nothing comes any more, and the connection stays.
    Stall(usize),
    /// The wish for an offset is not heard.
    NoRange,
    /// As `NoRange`, and cut.
    NoRangeCut(usize),
    /// The proxy answers itself, with these bytes.
    Answer(String),
}

pub(crate) struct Proxy {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    requests: Arc<watch::Sender<Vec<Request>>>,
    _server: JoinSet<()>,
}

type Decide = dyn Fn(&Request, usize) -> Fault + Send + Sync;

impl Proxy {
    /// Listens; `decide` is told each request and how many for the same path came before.
    pub(crate) async fn start(
        upstream: &str,
        decide: impl Fn(&Request, usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(watch::Sender::new(Vec::new()));
        let (upstream, seen) = (upstream.to_owned(), Arc::clone(&requests));
        let decide: Arc<Decide> = Arc::new(decide);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, seen, decide) = (upstream.clone(), Arc::clone(&seen), Arc::clone(&decide));
                connections.spawn(async move {
                    let _ = serve(client, &upstream, &seen, &*decide).await;
                });
            }
        });
        Self { host, requests, _server: server }
    }

    /// The requests so far whose path has a part.
    pub(crate) fn requests(&self, part: &str) -> Vec<Request> {
        self.requests.borrow().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }

    /// Waits until a path with this part was asked for.
    pub(crate) async fn asked(&self, part: &str) {
        let mut requests = self.requests.subscribe();
        let asked = requests.wait_for(|seen| seen.iter().any(|request| request.path.contains(part)));
        tokio::time::timeout(std::time::Duration::from_secs(30), asked).await.expect("never asked").unwrap();
    }
}

/// One request a connection, so that every fault is about one answer.
async fn serve(
    mut client: TcpStream,
    upstream: &str,
    seen: &watch::Sender<Vec<Request>>,
    decide: &Decide,
) -> std::io::Result<()> {
    let head = read_head(&mut client).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let offset = header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let (host, authorization) = (header("host").unwrap_or_default(), header("authorization"));
    let request = Request { path, offset, host, authorization };
    let before = seen.borrow().iter().filter(|other| other.path == request.path).count();
    let fault = decide(&request, before);
    seen.send_modify(|seen| seen.push(request));

    if let Fault::Answer(answer) = fault {
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    let no_range = matches!(fault, Fault::NoRange | Fault::NoRangeCut(_));
    let mut forwarded = String::new();
    for line in text.trim_end().lines() {
        let key = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if key != "connection" && !(no_range && key == "range") {
            forwarded.extend([line, "\r\n"]);
        }
    }
    forwarded += "Connection: close\r\n\r\n";
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(forwarded.as_bytes()).await?;
    let head = read_head(&mut server).await?;
    let mut body = Vec::new();
    server.read_to_end(&mut body).await?;
    client.write_all(&head).await?;
    match fault {
        Fault::None | Fault::NoRange => client.write_all(&body).await?,
        Fault::Cut(length) | Fault::NoRangeCut(length) => {
            client.write_all(&body[..length.min(body.len())]).await?;
        }
        Fault::Corrupt => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
            client.write_all(&body).await?;
        }
        Fault::Stall(length) => {
            client.write_all(&body[..length.min(body.len())]).await?;
            // Until the client goes away.
            let mut rest = [0; 1];
            let _ = client.read(&mut rest).await?;
        }
        Fault::Answer(_) => {}
    }
    client.shutdown().await
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// A decision that can be changed while the proxy runs.
#[derive(Clone)]
pub(crate) struct Switch(Arc<Mutex<Fault>>);

impl Switch {
    pub(crate) fn new(fault: Fault) -> Self {
        Self(Arc::new(Mutex::new(fault)))
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.0.lock().unwrap() = fault;
    }

    pub(crate) fn get(&self) -> Fault {
        self.0.lock().unwrap().clone()
    }
}
