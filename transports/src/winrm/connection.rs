//! One connection and the login on it: a message goes out, its answer comes back.
//!
//! ```text
//!   open: dial -> authenticate -> Connection --post, perhaps in turn--> Reply
//!                                     `--post--> Failure: not sent, not let in, or nobody knows
//! ```
//!
//! - A login belongs to its connection, as do the numbers of sealed messages, so one message is on its way at a time.
//! - [`Failure::Unsent`] and [`Failure::NotLetIn`]: the guest has not carried out the request, which may go elsewhere.
//! - [`Failure::Lost`]: it may have been carried out or not. It is never sent again.
//! - Where messages are sealed, only what is sealed counts: nobody has sealed HTTP's status, so whether an answer is a
//!   fault stands in it, and a refusal of the login ([`Failure::Denied`]) proves nothing, for somebody between may have
//!   written it over the answer.
//! - A connection whose answer was malformed, or was not read to its end, is not used again.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};

use super::authenticate::Context;
use super::body::{Body, Turn};
use super::dial::Dialled;
use super::{encrypted, reply, words};

/// The content type of a message that is not sealed.
const SOAP: &str = "application/soap+xml;charset=UTF-8";

/// Bytes of an answer beyond what was asked for, for what surrounds its output.
const AROUND_BYTES: usize = 64 * 1024;

/// An answer of the guest.
#[derive(Debug)]
pub(super) struct Reply {
    /// That of HTTP, or what the sealed answer is by HTTP's rules.
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection was over before anything of the request was sent, or its login is too old to seal it.
    Unsent,
    /// The guest refused the request unread, for it does not take the connection's login (any more).
    NotLetIn,
    /// The same, said by nobody knows whom: it may have been carried out.
    Denied,
    /// The connection was lost, or its answer makes no sense.
    Lost(String),
}

/// An authenticated connection.
pub(super) struct Connection {
    dialled: Dialled,
    context: Context,
    host: HeaderValue,
    most_bytes: usize,
    /// Whether it may carry another message.
    usable: bool,
}

impl Connection {
    pub(super) fn new(dialled: Dialled, context: Context, host: HeaderValue, envelope_bytes: usize) -> Self {
        Self { dialled, context, host, most_bytes: envelope_bytes + AROUND_BYTES, usable: true }
    }

    /// The fingerprint of the certificate that was shown.
    pub(super) fn certificate(&self) -> Option<&str> {
        self.dialled.certificate.as_ref().map(|(fingerprint, _)| fingerprint.as_str())
    }

    /// Whether each message is sealed, and nothing else proves who has written it.
    pub(super) fn is_sealed(&self) -> bool {
        match self.context {
            Context::Sealed(_) => true,
            #[cfg(feature = "credssp")]
            Context::SealedByTls(_) => true,
            Context::Plain | Context::Basic(_) => false,
        }
    }

    /// Whether the password goes along with each message, so that a message shows whether it is right.
    pub(super) fn carries_password(&self) -> bool {
        matches!(self.context, Context::Basic(_))
    }

    /// Whether it may carry another message.
    pub(super) fn usable(&self) -> bool {
        self.usable && self.dialled.is_quiet()
    }

    /// Sends a message and waits for its answer, however long that takes.
    pub(super) async fn post(&mut self, message: &str) -> Result<Reply, Failure> {
        self.post_in_turn(message, &Turn::default()).await
    }

    /// The same, whole once its turn has come.
    pub(super) async fn post_in_turn(&mut self, message: &str, turn: &Turn) -> Result<Reply, Failure> {
        self.usable = false;
        let in_turn = |message: Vec<u8>| Body::in_turn(message.into(), turn);
        let request = match &mut self.context {
            Context::Sealed(sealer) => {
                let body = encrypted::wrap(&mut **sealer, message).ok_or(Failure::Unsent)?;
                request(&self.host, sealer.form().content_type, in_turn(body))
            }
            #[cfg(feature = "credssp")]
            Context::SealedByTls(tls) => {
                let (kind, body) = super::credssp::wrap(tls, message).map_err(|_| Failure::Unsent)?;
                request(&self.host, kind, in_turn(body))
            }
            Context::Plain => request(&self.host, SOAP, in_turn(message.into())),
            Context::Basic(header) => {
                let mut request = request(&self.host, SOAP, in_turn(message.into()));
                request.headers_mut().insert(AUTHORIZATION, header.clone());
                request
            }
        };
        let answer = exchange(&mut self.dialled, request, self.most_bytes).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(if self.is_sealed() { Failure::Denied } else { Failure::NotLetIn });
        }
        let sealed = match &mut self.context {
            Context::Sealed(sealer) => encrypted::unwrap(&mut **sealer, &answer.body),
            #[cfg(feature = "credssp")]
            Context::SealedByTls(tls) => super::credssp::unwrap(tls, &answer.body),
            Context::Plain | Context::Basic(_) => {
                let body = String::from_utf8(answer.body.into())
                    .map_err(|_| Failure::Lost("its answer is no text".into()))?;
                self.usable = !answer.last;
                return Ok(Reply { status: answer.status, body });
            }
        };
        // An empty one, too, is none: it would count as done, and anybody can write it.
        let body = sealed.ok_or_else(|| {
            Failure::Lost(format!("its answer (HTTP {}) is not sealed by the guest", answer.status.as_u16()))
        })?;
        let fault = reply::is_fault(&body);
        let status = if fault { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        self.usable = !answer.last;
        Ok(Reply { status, body })
    }
}

/// An answer as it crossed HTTP.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Bytes,
    /// Whether the guest ends the connection after it.
    pub(super) last: bool,
}

/// A request of WS-Management.
pub(super) fn request(host: &HeaderValue, kind: &'static str, body: Body) -> Request<Body> {
    let mut request = Request::post("/wsman").body(body).expect("the request is well formed");
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    request
}

/// Sends a request and reads the whole answer. What was not whole when the guest answered, or went, was not carried out.
pub(super) async fn exchange(
    dialled: &mut Dialled,
    request: Request<Body>,
    most_bytes: usize,
) -> Result<Answer, Failure> {
    let whole = request.body().whole();
    let answer = send(dialled, request, most_bytes).await;
    if whole.is() { answer } else { Err(Failure::Unsent) }
}

async fn send(dialled: &mut Dialled, request: Request<Body>, most_bytes: usize) -> Result<Answer, Failure> {
    if dialled.sender.ready().await.is_err() {
        return Err(Failure::Unsent);
    }
    let response = match dialled.sender.try_send_request(request).await {
        Ok(response) => response,
        // It comes back only where nothing of it was written.
        Err(error) if error.message().is_some() => return Err(Failure::Unsent),
        Err(error) => return Err(Failure::Lost(words(&error.into_error()))),
    };
    let (head, body) = response.into_parts();
    let last = head
        .headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("close")));
    dialled.announced.store(last, Ordering::Relaxed);
    let body = Limited::new(body, most_bytes).collect().await;
    let body = body.map_err(|error| Failure::Lost(words(&*error)))?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body, last })
}
