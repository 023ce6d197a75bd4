//! What goes back over HTTP, whole or in pieces, or cut.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::faults::Split;

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// What was sent instead of the rest.
fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the test cut this connection")
}

/// A reply.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) authenticate: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn status(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// Sends it in pieces where that is asked for; with `cut`, its second half is not sent.
    pub(crate) fn send(self, split: Option<Split>, cut_in_middle: bool, close: bool) -> Response<Body> {
        let length = self.body.len();
        let mut data = Bytes::from(self.body);
        let body = if cut_in_middle {
            data.truncate(length / 2);
            pieces(data, length, true)
        } else if let Some(split) = split.filter(|split| split.bytes > 0) {
            pieces(data, split.bytes, false)
        } else {
            Full::new(data).map_err(|never: Infallible| match never {}).boxed()
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("Microsoft-HTTPAPI/2.0"));
        if !self.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, header(&self.content_type));
        }
        for authenticate in &self.authenticate {
            headers.append(WWW_AUTHENTICATE, header(authenticate));
        }
        if cut_in_middle || !split.is_some_and(|split| split.chunked) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A body of pieces, each written on its own; then, where it is to be cut, an error that ends the connection.
fn pieces(data: Bytes, size: usize, is_cut: bool) -> Body {
    let count = data.len().div_ceil(size.max(1));
    let pieces = (0..count).map(move |n| Ok(data.slice(n * size..data.len().min((n + 1) * size))));
    let end = is_cut.then(|| Err(cut()));
    let frames = stream::iter(pieces.chain(end)).then(|piece| async move {
        // The one before is written meanwhile.
        tokio::task::yield_now().await;
        piece.map(Frame::data)
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}
