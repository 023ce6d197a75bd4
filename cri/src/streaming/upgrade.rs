//! What an HTTP request asks to be upgraded to. Pure: no socket is touched.
//!
//! - SPDY: `Upgrade: SPDY/3.1`, and in `X-Stream-Protocol-Version` the protocols that the client speaks, best first.
//! - WebSocket: `Upgrade: websocket`, version 13, a key, and the protocols in `Sec-WebSocket-Protocol`.
//!
//! The first of the client's protocols that is spoken here is taken. None: the answer names those that are.

use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The protocols that the client speaks, and the one that was taken.
const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// The protocols that are spoken here.
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Who a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `exec` and `attach`.
    RemoteCommand,
    /// `port-forward`.
    PortForward,
}

/// What is spoken on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Streams of SPDY; the version of the protocol on them.
    Spdy(Version),
    /// Channels of a WebSocket.
    WebSocket(Version),
    /// SPDY in the messages of a WebSocket.
    Tunnel,
}

/// The version of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// An error is told as text.
    V1,
    /// The same, with an order of closing.
    V2,
    /// A terminal may be resized.
    V3,
    /// An end is told as a status with the exit code.
    V4,
    /// A channel may be closed by itself.
    V5,
}

type Spoken = &'static [(&'static str, Protocol)];

const COMMAND_BY_SPDY: Spoken = &[
    ("v4.channel.k8s.io", Protocol::Spdy(Version::V4)),
    ("v3.channel.k8s.io", Protocol::Spdy(Version::V3)),
    ("v2.channel.k8s.io", Protocol::Spdy(Version::V2)),
    ("channel.k8s.io", Protocol::Spdy(Version::V1)),
];
const COMMAND_BY_WEBSOCKET: Spoken = &[
    ("v5.channel.k8s.io", Protocol::WebSocket(Version::V5)),
    ("v4.channel.k8s.io", Protocol::WebSocket(Version::V4)),
];
const FORWARD_BY_SPDY: Spoken = &[("portforward.k8s.io", Protocol::Spdy(Version::V1))];
const FORWARD_BY_WEBSOCKET: Spoken = &[("SPDY/3.1+portforward.k8s.io", Protocol::Tunnel)];

/// Why a request is not upgraded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: String,
    accepted: Spoken,
}

impl Refusal {
    fn bad(why: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why: why.into(), accepted: &[] }
    }

    /// The answer's headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.accepted.iter().map(|(name, _)| (ACCEPTED, HeaderValue::from_static(name)))
    }
}

/// What is spoken after the upgrade, and the answer that says so.
pub(super) fn negotiate<B: Default>(
    kind: Kind,
    headers: &HeaderMap,
) -> Result<(Protocol, Response<B>), Refusal> {
    let names = |header: HeaderName| -> Vec<String> {
        let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect()
    };
    let has =
        |header: HeaderName, wanted: &str| names(header).iter().any(|name| name.eq_ignore_ascii_case(wanted));
    if !has(CONNECTION, "upgrade") {
        return Err(Refusal::bad("ask for an upgrade to SPDY/3.1 or a WebSocket"));
    }
    let mut answer = Response::new(B::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let told = answer.headers_mut();
    told.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if has(UPGRADE, "SPDY/3.1") {
        let spoken = if kind == Kind::PortForward { FORWARD_BY_SPDY } else { COMMAND_BY_SPDY };
        let (name, protocol) = choose(&names(VERSION), spoken)?;
        told.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        told.insert(VERSION, HeaderValue::from_static(name));
        return Ok((protocol, answer));
    }
    if has(UPGRADE, "websocket") {
        if !has(SEC_WEBSOCKET_VERSION, "13") {
            return Err(Refusal::bad("only version 13 of WebSocket is spoken here"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::bad("the WebSocket has no key"))?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
        let accept = accept.map_err(|_| Refusal::bad("the WebSocket's key is none"))?;
        let spoken = if kind == Kind::PortForward { FORWARD_BY_WEBSOCKET } else { COMMAND_BY_WEBSOCKET };
        let (name, protocol) = choose(&names(SEC_WEBSOCKET_PROTOCOL), spoken)?;
        told.insert(UPGRADE, HeaderValue::from_static("websocket"));
        told.insert(SEC_WEBSOCKET_ACCEPT, accept);
        told.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        return Ok((protocol, answer));
    }
    Err(Refusal::bad("ask for an upgrade to SPDY/3.1 or a WebSocket"))
}

fn choose(wanted: &[String], spoken: Spoken) -> Result<(&'static str, Protocol), Refusal> {
    let found = wanted.iter().find_map(|name| spoken.iter().find(|(known, _)| known == name));
    found.copied().ok_or_else(|| {
        let known: Vec<&str> = spoken.iter().map(|(name, _)| *name).collect();
        let why = format!("no protocol in common; spoken here: {}", known.join(", "));
        Refusal { status: StatusCode::FORBIDDEN, why, accepted: spoken }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: Kind, pairs: &[(&'static str, &str)]) -> Result<(Protocol, Response<()>), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        negotiate(kind, &headers)
    }

    #[test]
    fn the_clients_first_choice_is_taken() {
        let asked = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v9.channel.k8s.io"),
            ("x-stream-protocol-version", "v3.channel.k8s.io, v4.channel.k8s.io"),
        ];
        let (protocol, answer) = ask(Kind::RemoteCommand, &asked).unwrap();
        assert_eq!((protocol, answer.status().as_u16()), (Protocol::Spdy(Version::V3), 101));
        assert_eq!(answer.headers()[VERSION], "v3.channel.k8s.io");
    }

    #[test]
    fn a_websocket_proves_that_it_was_understood() {
        let mut asked = vec![
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io"),
        ];
        let (protocol, answer) = ask(Kind::PortForward, &asked).unwrap();
        assert_eq!(protocol, Protocol::Tunnel);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(ask(Kind::RemoteCommand, &asked).unwrap_err().status, 403);
        asked.retain(|(name, _)| *name != "sec-websocket-key");
        assert_eq!(ask(Kind::PortForward, &asked).unwrap_err().status, 400);
    }

    #[test]
    fn nothing_in_common_names_what_is_spoken() {
        let asked = [
            ("connection", "upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v9.channel.k8s.io"),
        ];
        let refusal = ask(Kind::RemoteCommand, &asked).unwrap_err();
        assert_eq!(refusal.status, 403);
        let accepted: Vec<_> = refusal.headers().map(|(_, value)| value).collect();
        assert_eq!(accepted.len(), 4);
        assert!(refusal.why.contains("v4.channel.k8s.io"), "{}", refusal.why);
    }

    #[test]
    fn a_plain_request_is_told_what_to_ask_for() {
        for asked in [&[][..], &[("connection", "upgrade")], &[("upgrade", "SPDY/3.1")]] {
            assert_eq!(ask(Kind::RemoteCommand, asked).unwrap_err().status, 400, "{asked:?}");
        }
    }
}
