//! Messages of gRPC as HTTP carries them: a byte (compressed or not), four bytes of length, the message; how a call ended
//! stands in the headers or in the trailers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};

/// The largest message that is read, in bytes: both streams of `ExecSync` at their bound, with room to spare.
const LARGEST: usize = 64 << 20;
/// What stands before a message.
const PREFIX: usize = 5;

/// A call with the one message that it comes with.
#[derive(Debug, Clone)]
pub(super) struct Call {
    parts: hyper::http::request::Parts,
    framed: Bytes,
}

impl Call {
    /// Reads a call.
    pub(super) async fn read(request: Request<Body>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        let framed = collected(body).await?.to_bytes();
        message(&framed)?;
        Ok(Self { parts, framed })
    }

    /// Its message.
    pub(super) fn message(&self) -> Bytes {
        self.framed.slice(PREFIX..)
    }

    /// The request that it was.
    pub(super) fn request(self) -> Request<Body> {
        Request::from_parts(self.parts, Body::new(Full::new(self.framed)))
    }
}

/// A call with a message of ours.
pub(super) fn request(path: &str, message: &[u8]) -> Result<Request<Body>, Status> {
    let request = Request::post(path)
        .version(hyper::Version::HTTP_2)
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers");
    let body = Body::new(Full::new(framed(message)));
    request.body(body).map_err(|error| Status::internal(format!("no call can be made of {path}: {error}")))
}

/// The one message of an answer.
pub(super) async fn answered(response: Response<Body>) -> Result<Bytes, Status> {
    let whole = answer(response).await?;
    message(&whole)
}

/// All messages of an answer, as they travel.
pub(super) async fn answer(response: Response<Body>) -> Result<Bytes, Status> {
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(Status::unknown(format!("the answer is {} and none of gRPC", parts.status)));
    }
    well(&parts.headers)?;
    let collected = collected(body).await?;
    collected.trailers().map_or(Ok(()), well)?;
    Ok(collected.to_bytes())
}

/// An answer of these messages, as they travel.
pub(super) fn response(framed: Bytes) -> Response<Body> {
    let body = Full::new(framed).with_trailers(std::future::ready(Some(Ok(ending(&Status::ok(""))))));
    begun(Body::new(body))
}

/// An answer that has begun.
pub(super) fn begun(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// How a call ended, as the last frame of an answer that has begun.
pub(super) fn trailers(status: &Status) -> Frame<Bytes> {
    Frame::trailers(ending(status))
}

fn ending(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Its text cannot be a header: the code alone is told.
        headers.insert("grpc-status", HeaderValue::from(i32::from(status.code())));
    }
    headers
}

/// A message as it travels.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    // No message that we make comes near what the four bytes hold.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Reads the messages of an answer one by one.
#[derive(Debug)]
pub(super) struct Messages {
    body: Body,
    buffer: BytesMut,
}

impl Messages {
    /// The messages of an answer; its refusal where it is one.
    pub(super) fn of(response: Response<Body>) -> Result<Self, Status> {
        let (parts, body) = response.into_parts();
        well(&parts.headers)?;
        Ok(Self { body, buffer: BytesMut::new() })
    }

    /// The next one, as it travels; none after the last one. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(length) = self.length()? {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            let Some(frame) = self.body.frame().await else {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(Status::internal("the answer ended within a message"))
                };
            };
            match frame?.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => frame.trailers_ref().map_or(Ok(()), well)?,
            }
        }
    }

    /// The length of the first message in the buffer, if all of it is there.
    fn length(&self) -> Result<Option<usize>, Status> {
        let mut prefix = &self.buffer[..];
        if prefix.len() < PREFIX {
            return Ok(None);
        }
        prefix.advance(1);
        let length = prefix.get_u32() as usize;
        if length > LARGEST {
            return Err(Status::resource_exhausted(format!(
                "a message of {length} bytes is too large to be read"
            )));
        }
        Ok((self.buffer.len() >= PREFIX + length).then_some(PREFIX + length))
    }
}

/// How a call ended, by its headers or its trailers.
fn well(headers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(()),
    }
}

async fn collected(body: Body) -> Result<http_body_util::Collected<Bytes>, Status> {
    Limited::new(body, PREFIX + LARGEST).collect().await.map_err(|error| match error.downcast::<Status>() {
        Ok(status) => *status,
        Err(error) => Status::resource_exhausted(format!("a message is too large to be read: {error}")),
    })
}

/// What is in the one message that there is.
fn message(framed: &Bytes) -> Result<Bytes, Status> {
    let [compressed, a, b, c, d, ..] = framed[..] else {
        return Err(Status::internal("there is no message"));
    };
    if compressed != 0 {
        return Err(Status::unimplemented("compressed messages are not understood; send them as they are"));
    }
    if framed.len() - PREFIX != u32::from_be_bytes([a, b, c, d]) as usize {
        return Err(Status::internal("there has to be one message, and all of it"));
    }
    Ok(framed.slice(PREFIX..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_read_and_nothing_else() {
        assert_eq!(message(&framed(b"abc")).unwrap(), "abc");
        assert_eq!(message(&framed(b"")).unwrap(), "");
        let two = [framed(b"a"), framed(b"b")].concat();
        for (broken, code) in [
            (&b""[..], Code::Internal),
            (&[0, 0, 0, 0, 2, 1], Code::Internal),
            (&two, Code::Internal),
            (&[1, 0, 0, 0, 1, 1], Code::Unimplemented),
        ] {
            assert_eq!(message(&Bytes::copy_from_slice(broken)).unwrap_err().code(), code, "{broken:?}");
        }
    }

    #[tokio::test]
    async fn messages_come_one_by_one_however_they_are_cut() {
        let whole = [framed(b"one"), framed(b""), framed(b"three")].concat();
        for size in [1, 2, 7, whole.len()] {
            let chunks: Vec<_> = whole.chunks(size).map(Bytes::copy_from_slice).collect();
            let frames = chunks.into_iter().map(|chunk| Ok::<_, Status>(Frame::data(chunk)));
            let body = Body::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames)));
            let mut messages = Messages::of(begun(body)).unwrap();
            let mut read = Vec::new();
            while let Some(message) = messages.next().await.unwrap() {
                read.push(message);
            }
            assert_eq!(read, [framed(b"one"), framed(b""), framed(b"three")], "in parts of {size}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_as_it_came() {
        let refused = || Status::not_found("pod x does not exist").into_http::<Body>();
        let status = answered(refused()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "pod x does not exist"));
        assert_eq!(Messages::of(refused()).unwrap_err().code(), Code::NotFound);
        assert_eq!(answered(response(framed(b"fine"))).await.unwrap(), "fine");
    }
}
