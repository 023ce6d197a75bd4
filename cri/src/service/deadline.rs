//! A call that is not done in its caller's time (`grpc-timeout`) ends with `DeadlineExceeded`, as the CRI's clients expect.
//!
//! tonic ends one with `Cancelled`, which a client hears where its own clock is a little behind. Its timer goes round every
//! layer, so this one is set before it, to the same time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::telemetry;

/// What a caller whose time is over is told: tonic's own words.
pub(crate) const EXPIRED: &str = "Timeout expired";

/// Puts the deadline round all services.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline(inner)
    }
}

/// Services, each call of which ends in time.
#[derive(Debug, Clone)]
pub struct Deadline<S>(S);

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = timeout(request.headers()).and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = deadline.map(|deadline| (deadline, request.uri().clone()));
        let answer = self.0.call(request);
        Box::pin(async move {
            let Some((deadline, uri)) = deadline else { return answer.await };
            let (mut answer, mut late) = (pin!(answer), pin!(sleep_until(deadline)));
            poll_fn(|context| {
                if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                // By the clock too: tonic's timer may be the first of the two to wake us.
                if late.as_mut().poll(context).is_pending() && Instant::now() < deadline {
                    return Poll::Pending;
                }
                tracing::info!(path = uri.path(), "the caller's time was over before the call was done");
                telemetry::traces::rpc_ended(Code::DeadlineExceeded);
                Poll::Ready(Ok(Status::deadline_exceeded(EXPIRED).into_http()))
            })
            .await
        })
    }
}

/// The time that a caller gives: at most eight digits and a unit. Another text is none.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::{UnixListener, UnixStream};
    use tokio_stream::wrappers::UnixListenerStream;
    use tonic::service::Routes;

    use super::*;

    #[test]
    fn the_time_that_is_given_has_a_unit() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout(&headers)
        };
        assert_eq!(of("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(of("5m"), Some(Duration::from_millis(5)));
        assert_eq!(of("998u"), Some(Duration::from_micros(998)));
        assert_eq!(of("7n"), Some(Duration::from_nanos(7)));
        for none in ["", "S", "5", "5s", "-5S", "+5S", "100000000S", "5 S"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_call_is_told_as_late_and_not_as_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let silent = tower::layer::layer_fn(|_: Routes| {
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>())
        });
        let mut server = tonic::transport::Server::builder().layer(DeadlineLayer).layer(silent);
        let server = tokio::spawn(server.add_routes(Routes::default()).serve_with_incoming(incoming));
        let stream = TokioIo::new(UnixStream::connect(&socket).await.unwrap());
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..200 {
            // A client whose own clock never ends the call.
            let request = Request::post("http://localhost/a/B").header("grpc-timeout", "1m");
            let answer = client.send_request(request.body(Body::default()).unwrap()).await.unwrap();
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, EXPIRED));
        }
        server.abort();
    }
}
