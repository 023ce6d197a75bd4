//! The body of a message, which may be sent before its turn but for its last byte.
//!
//! ```text
//!   in turn:      all of it
//!   out of turn:  all but the last byte --the turn comes--> that byte: whole
//! ```
//!
//! - Happy path: the guest has nearly all of a long message when the one before it is answered. It carries out nothing that
//!   is not whole, so the order holds.
//! - The connection ends before the message was whole: it was not carried out, and may be sent anew ([`Body::whole`]).
//! - The turn never comes: who waits gives up, and the connection with it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;

/// When a message may be carried out: at once, or after another one.
#[derive(Debug, Default)]
pub(super) struct Turn(Option<watch::Receiver<bool>>);

impl Turn {
    /// After another message, and a way to say that this has been answered. Where that is never said, the turn never comes.
    pub(super) fn after() -> (watch::Sender<bool>, Self) {
        let (said, turn) = watch::channel(false);
        (said, Self(Some(turn)))
    }

    /// Waits for it, where it is not there from the beginning.
    fn coming(&self) -> Option<Coming> {
        let mut said = self.0.clone()?;
        Some(Box::pin(async move {
            if said.wait_for(|said| *said).await.is_err() {
                std::future::pending::<()>().await;
            }
        }))
    }
}

type Coming = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The bytes of a message.
pub(super) struct Body {
    rest: Bytes,
    turn: Option<Coming>,
    whole: Whole,
}

/// Whether nothing holds a part of a message back.
#[derive(Debug, Clone)]
pub(super) struct Whole(Arc<AtomicBool>);

impl Whole {
    /// Whether the guest may have all of it.
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Body {
    /// A message that is whole once its turn has come.
    pub(super) fn in_turn(message: Bytes, turn: &Turn) -> Self {
        let turn = turn.coming();
        let whole = Whole(Arc::new(AtomicBool::new(turn.is_none())));
        Self { rest: message, turn, whole }
    }

    /// Tells, once it is on its way, whether all of it is.
    pub(super) fn whole(&self) -> Whole {
        self.whole.clone()
    }
}

impl From<Bytes> for Body {
    fn from(message: Bytes) -> Self {
        Self::in_turn(message, &Turn::default())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.len() > 1 && this.turn.is_some() {
            let early = this.rest.split_to(this.rest.len() - 1);
            return Poll::Ready(Some(Ok(Frame::data(early))));
        }
        if let Some(turn) = &mut this.turn {
            ready!(turn.as_mut().poll(context));
            this.turn = None;
        }
        this.whole.0.store(true, Ordering::Release);
        let rest = std::mem::take(&mut this.rest);
        Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn next(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn the_last_byte_waits_for_its_turn() {
        let (said, turn) = Turn::after();
        let mut body = Body::in_turn(Bytes::from_static(b"message"), &turn);
        let whole = body.whole();
        assert_eq!(next(&mut body).await.as_deref(), Some(&b"messag"[..]));
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), body.frame()).await;
        assert!(early.is_err(), "it is not its turn");
        assert!(!whole.is());
        said.send(true).unwrap();
        assert_eq!(next(&mut body).await.as_deref(), Some(&b"e"[..]));
        assert!(whole.is());
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_message_in_turn_goes_at_once() {
        let mut body = Body::from(Bytes::from_static(b"message"));
        assert_eq!(next(&mut body).await.as_deref(), Some(&b"message"[..]));
        assert!(body.whole().is());
        assert!(hyper::body::Body::is_end_stream(&Body::from(Bytes::new())));
    }

    #[tokio::test]
    async fn the_turn_after_one_that_was_given_up_never_comes() {
        let (said, turn) = Turn::after();
        drop(said);
        let mut body = Body::in_turn(Bytes::from_static(b"m"), &turn);
        let whole = body.whole();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), body.frame()).await.is_err());
        assert!(!whole.is());
    }
}
