//! One TCP connection, and who is known on it.
//!
//! ```text
//!   request -> authenticate --401--> offers, or the next token
//!                  `-- known -> unseal -> envelope -> action -> seal -> reply
//! ```
//!
//! Who has authenticated with NTLM is known until the connection ends, and on no other one.
//! Failure paths: not `/wsman`: 404; not sealed on plain HTTP: 500 and nothing else, as Windows is seen to do; a seal that does
//! not hold: 400 and the end of the connection; what is no envelope, or cannot be done: 500 with a fault.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use roxmltree::Document;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::action::{Action, Context};
use crate::authentication::{Authentication, Verdict};
use crate::encrypted;
use crate::envelope::{Answer, FAULT, Request, SHELL, without_long_text};
use crate::fault::Fault;
use crate::faults::{Instead, Moment};
use crate::reply::{Body, Reply};
use crate::server::Shared;

const PATH: &str = "/wsman";
/// Where `Identify` may come from anybody.
const ANONYMOUS: &str = "/wsman-anon/identify";
const SOAP: &str = "application/soap+xml;charset=UTF-8";

/// The test wants this connection to be cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the test cut this connection")
    }
}

impl std::error::Error for Cut {}

/// What is told of a request.
enum Told {
    /// What came of it.
    Result(Result<Answer, Fault>),
    /// Nothing but a status, which nobody has sealed.
    Status(StatusCode),
    /// What came of it, under a status that is not its own.
    Under(StatusCode, Result<Answer, Fault>),
}

/// A connection.
struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    authentication: Mutex<Authentication>,
    /// How often all logins had been forgotten when this connection was last looked at.
    forgotten: AtomicU64,
}

/// Serves a connection until its client, or a fault, ends it.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    peer: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let authentication = Mutex::new(Authentication::default());
    let forgotten = AtomicU64::new(shared.forgotten.load(Ordering::Relaxed));
    let connection = Arc::new(Connection { shared, peer, authentication, forgotten });
    let service = service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { connection.answer(request).await }
    });
    // How a connection ends is what the client sees, not what the server does about it.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

impl Connection {
    async fn answer(&self, request: HttpRequest<Incoming>) -> Result<Response<Body>, Cut> {
        let faults = &self.shared.faults;
        self.shared.counting.change(|counters| counters.requests += 1);
        let mut moment = faults.meet(None);
        if moment == Some(Moment::BeforeRead) {
            return Err(Cut);
        }
        let anonymous = request.uri().path() == ANONYMOUS;
        if request.uri().path() != PATH && !anonymous {
            return Ok(Reply::status(StatusCode::NOT_FOUND).send(None, false, false));
        }
        if request.method() != Method::POST {
            return Ok(Reply::status(StatusCode::METHOD_NOT_ALLOWED).send(None, false, false));
        }
        let text =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sealed = encrypted::is(text(CONTENT_TYPE));
        let forgotten = self.shared.forgotten.load(Ordering::Relaxed);
        if self.forgotten.swap(forgotten, Ordering::Relaxed) != forgotten {
            *self.authentication() = Authentication::default();
        }
        let verdict = if anonymous {
            Verdict::Known { user: String::new(), token: None }
        } else {
            self.authentication().check(text(AUTHORIZATION), &self.shared)
        };
        let limit = self.shared.options.limits.envelope_bytes;
        // What is around a sealed envelope is not of it, nor what is around each of its pieces.
        let body = match Limited::new(request.into_body(), limit + limit / 32 + 4096).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let reply = self.write(Err(Fault::envelope_too_long(limit)), None, false);
                return Ok(reply.send(None, false, true));
            }
            Err(_) => return Err(Cut),
        };
        let mut reply = match verdict {
            Verdict::Unknown { authenticate } => {
                self.shared.counting.change(|counters| counters.unauthorized += 1);
                Reply { authenticate, ..Reply::status(StatusCode::UNAUTHORIZED) }
            }
            Verdict::Known { user, token } => {
                let mut reply = self.known(user, &body, sealed, anonymous, &mut moment).await?;
                reply.authenticate.extend(token);
                reply
            }
        };
        if moment == Some(Moment::BeforeReply) {
            return Err(Cut);
        }
        if moment == Some(Moment::InReply) && reply.body.is_empty() {
            // It has no middle: this is the nearest.
            return Err(Cut);
        }
        let close = reply.status != StatusCode::UNAUTHORIZED && !reply.body.is_empty() && faults.closes();
        reply.body.shrink_to_fit();
        Ok(reply.send(faults.splits(), moment == Some(Moment::InReply), close))
    }

    /// Answers somebody who is known.
    async fn known(
        &self,
        user: String,
        body: &[u8],
        sealed: bool,
        anonymous: bool,
        moment: &mut Option<Moment>,
    ) -> Result<Reply, Cut> {
        if body.is_empty() {
            // Clients authenticate by an empty request where what they have to say must be sealed.
            return Ok(Reply::status(StatusCode::OK));
        }
        let opened;
        let body = if sealed {
            let mut authentication = self.authentication();
            let Some(envelope) = authentication.seal().and_then(|seal| encrypted::open(body, seal)) else {
                return Ok(Reply::status(StatusCode::BAD_REQUEST));
            };
            opened = envelope;
            &opened
        } else if self.shared.options.tls || self.shared.options.allow_unencrypted || anonymous {
            body
        } else {
            return Ok(Reply::status(StatusCode::INTERNAL_SERVER_ERROR));
        };
        self.shared.faults.wait().await;
        let (told, relates_to) = self.carry_out(user, body, anonymous, moment).await?;
        Ok(match told {
            Told::Result(result) => self.write(result, relates_to.as_deref(), sealed),
            Told::Status(status) => Reply::status(status),
            Told::Under(status, result) => {
                Reply { status, ..self.write(result, relates_to.as_deref(), sealed) }
            }
        })
    }

    /// Carries out what an envelope asks for.
    async fn carry_out(
        &self,
        user: String,
        body: &[u8],
        anonymous: bool,
        moment: &mut Option<Moment>,
    ) -> Result<(Told, Option<String>), Cut> {
        let limit = self.shared.options.limits.envelope_bytes;
        if body.len() > limit {
            return Ok((Told::Result(Err(Fault::envelope_too_long(limit))), None));
        }
        let text =
            std::str::from_utf8(body).map_err(|error| Fault::schema(format!("It is not UTF-8: {error}.")));
        let text = text.map(|text| text.trim_start_matches('\u{FEFF}'));
        let text = text.map(without_long_text);
        let document = text.as_ref().map_err(Clone::clone).and_then(|(text, _)| {
            Document::parse(text).map_err(|error| Fault::schema(format!("It is no XML: {error}.")))
        });
        let document = match document {
            Ok(document) => document,
            Err(fault) => return Ok((Told::Result(Err(fault)), None)),
        };
        let request = match Request::read(&document) {
            Ok(request) => request,
            Err(fault) => return Ok((Told::Result(Err(fault)), None)),
        };
        let action = match Action::of(&request) {
            Ok(Action::Identify) | Err(_) if anonymous => Action::Identify,
            Ok(action) => action,
            Err(fault) => return Ok((Told::Result(Err(fault)), request.message_id)),
        };
        self.shared.counting.change(|counters| *counters.actions.entry(action).or_default() += 1);
        *moment = moment.or_else(|| self.shared.faults.meet(Some(action)));
        if *moment == Some(Moment::BeforeRead) {
            return Err(Cut);
        }
        self.shared.faults.wait_for(action).await;
        let long_text = text.as_ref().map(|(_, long)| *long).unwrap_or_default();
        let context = Context { shared: Arc::clone(&self.shared), user, client: self.peer.ip(), long_text };
        let Some(instead) = self.shared.faults.instead(action) else {
            return Ok((Told::Result(action.perform(&request, &context).await), request.message_id));
        };
        let carried_out =
            if instead.carried_out { Some(action.perform(&request, &context).await) } else { None };
        let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let told = match instead.with {
            Instead::Fault(kind, code) => Told::Result(Err(Fault::asked_for(kind, code))),
            Instead::Body(body) => Told::Result(Ok(Answer::new(format!("{SHELL}/{action:?}Response"), body))),
            Instead::Status(code) => Told::Status(status(code)),
            Instead::Under(code) => {
                let nothing = || Err(Fault::asked_for("w:InternalError", 0x8000_4005));
                Told::Under(status(code), carried_out.unwrap_or_else(nothing))
            }
        };
        Ok((told, request.message_id))
    }

    /// Writes an envelope, or a fault in one, sealed where the request was.
    fn write(&self, result: Result<Answer, Fault>, relates_to: Option<&str>, sealed: bool) -> Reply {
        let (status, answer) = match result {
            Ok(answer) => (StatusCode::OK, answer),
            Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, Answer::new(FAULT, fault.body())),
        };
        let envelope = answer.write(relates_to).into_bytes();
        let mut authentication = self.authentication();
        let (content_type, body) = match authentication.seal().filter(|_| sealed) {
            Some(seal) => encrypted::seal(&envelope, seal),
            None => (SOAP.to_owned(), envelope),
        };
        Reply { content_type, body, ..Reply::status(status) }
    }

    fn authentication(&self) -> std::sync::MutexGuard<'_, Authentication> {
        self.authentication.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
