//! One SPDY connection: its streams, their queues and their windows.
//!
//! ```text
//!   SYN_STREAM -> Offer --accept--> SYN_REPLY, Input and Output --FIN from both sides--> forgotten
//!                   `----refuse--> RST_STREAM
//! ```
//!
//! - Happy path: the reader hands data to the stream's queue and waits where that is full, so a client cannot make us
//!   keep more than that of each stream.
//! - Failures: bytes that are no SPDY, a stream number that is even or not above the last, more than [`STREAMS_MAX`]
//!   streams, a window beyond its bound end the connection. Data of a stream that is not known is thrown away, for it may
//!   have been on its way when the stream ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::channel::{Gone, Input, Outgoing, Output, QUEUE_MESSAGES, hand_on};
use super::super::connection::{self, Activity, Closing, Connection, Queue};
use super::super::window::{INITIAL_BYTES, Window};
use super::frame::{Codec, Frame, Malformed};
use super::headers::{BadBlock, Headers, Packer, Unpacker};

/// The most streams at once.
const STREAMS_MAX: usize = 256;
/// How much is written to the socket at once.
const WRITE_BYTES: usize = 64 * 1024;
/// The setting of the windows of new streams.
const INITIAL_WINDOW: u32 = 7;
/// The status of a stream that is refused.
const REFUSED: u32 = 3;
/// The number of the ping that is a sign of life. It is odd, as a client's own, and high: a client ignores the echo of what
/// it has not sent. An even one it would answer, behind the input that nobody takes, and read no output until it can.
const UNASKED: u32 = u32::MAX;

/// Why a connection is cut.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Block(#[from] BadBlock),
    #[error("stream {0} is even, or not above the last")]
    Number(u32),
    #[error("more than {STREAMS_MAX} streams")]
    Crowded,
    #[error("a window beyond its bound")]
    Window,
}

/// A stream that the client wants to open.
#[derive(Debug)]
pub(in crate::streaming) struct Offer {
    /// Its number.
    pub(in crate::streaming) stream: u32,
    /// What it says of itself.
    pub(in crate::streaming) headers: Headers,
    queue: mpsc::Sender<Outgoing>,
    input: Input,
    output: Output,
}

impl Offer {
    /// Opens it.
    pub(in crate::streaming) async fn accept(self) -> Result<(Input, Output), Gone> {
        self.queue.send(Outgoing::Accept(self.stream)).await.map_err(|_| Gone)?;
        Ok((self.input, self.output))
    }

    /// Refuses it.
    pub(in crate::streaming) async fn refuse(self) {
        let _ = self.queue.send(Outgoing::Refuse(self.stream)).await;
    }
}

/// Speaks SPDY on a socket, in a task of its own. The streams that the client opens are offered.
pub(in crate::streaming) fn serve<S>(socket: S, idle: Duration) -> (Connection, mpsc::Receiver<Offer>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (connection, closing) = Connection::new();
    let (offers, offered) = mpsc::channel(QUEUE_MESSAGES);
    let (queue, outgoing) = mpsc::channel(QUEUE_MESSAGES);
    tokio::spawn(async move {
        let (from, to) = tokio::io::split(socket);
        let activity = Activity::new();
        let streams = Streams::new(queue);
        let reader =
            Reader { streams, offers, unpacker: Unpacker::new(), last: 0, activity: activity.clone() };
        let writing = write(to, outgoing, closing, activity.clone());
        connection::run(reader.read(from), writing, &activity, idle).await;
    });
    (connection, offered)
}

/// What is known of the streams.
struct Streams {
    known: Mutex<HashMap<u32, Stream>>,
    queue: mpsc::Sender<Outgoing>,
    session: Arc<Window>,
}

struct Stream {
    /// Dropped when the client has sent its last.
    input: Option<mpsc::Sender<Bytes>>,
    window: Arc<Window>,
    finished: Arc<AtomicBool>,
}

impl Streams {
    fn new(queue: mpsc::Sender<Outgoing>) -> Self {
        Self { known: Mutex::default(), queue, session: Arc::new(Window::new(INITIAL_BYTES, false)) }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, Stream>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    streams: Streams,
    offers: mpsc::Sender<Offer>,
    unpacker: Unpacker,
    /// The last stream's number.
    last: u32,
    activity: Activity,
}

impl Reader {
    async fn read(mut self, mut from: impl AsyncRead + Unpin) -> Result<(), Fault> {
        let (mut codec, mut bytes) = (Codec::default(), BytesMut::with_capacity(WRITE_BYTES));
        let mut initial = INITIAL_BYTES;
        let mut windows = false;
        loop {
            while let Some(frame) = codec.decode(&mut bytes)? {
                if !matches!(frame, Frame::Ping(_)) {
                    self.activity.touch();
                }
                match frame {
                    Frame::SynStream { stream, fin, block } => {
                        let headers = self.unpacker.unpack(&block)?;
                        self.offer(stream, fin, headers, Window::new(initial, windows)).await?;
                    }
                    // A server opens no streams, so none is answered; the zlib stream must go on all the same.
                    Frame::SynReply { block, .. } => drop(self.unpacker.unpack(&block)?),
                    Frame::Headers { stream, fin, block } => {
                        self.unpacker.unpack(&block)?;
                        self.ended(stream, fin);
                    }
                    Frame::Data { stream, data, fin } => {
                        self.data(stream, data).await;
                        self.ended(stream, fin);
                    }
                    Frame::Reset { stream, .. } => {
                        if let Some(cut) = self.streams.known().remove(&stream) {
                            cut.window.close();
                        }
                    }
                    Frame::Settings(settings) => {
                        for (_, value) in settings.into_iter().filter(|(id, _)| *id == INITIAL_WINDOW) {
                            let value = value.min(i32::MAX.unsigned_abs());
                            let more = i64::from(value) - i64::from(initial);
                            initial = value;
                            if self.streams.known().values().any(|stream| !stream.window.shift(more)) {
                                return Err(Fault::Window);
                            }
                        }
                        windows = self.keep_windows(windows);
                    }
                    Frame::WindowUpdate { stream, delta } => {
                        windows = self.keep_windows(windows);
                        let granted = if stream == 0 {
                            self.streams.session.shift(delta.into())
                        } else {
                            self.streams
                                .known()
                                .get(&stream)
                                .is_none_or(|known| known.window.shift(delta.into()))
                        };
                        if !granted {
                            return Err(Fault::Window);
                        }
                    }
                    // Those of a server are even, and we send none.
                    Frame::Ping(number) if number % 2 == 1 => {
                        let _ = self.streams.queue.send(Outgoing::Pong(number)).await;
                    }
                    Frame::Ping(_) | Frame::GoAway { .. } => {}
                }
            }
            bytes.reserve(WRITE_BYTES / 2);
            if from.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
    }

    /// The client knows of windows.
    fn keep_windows(&self, known: bool) -> bool {
        if !known {
            self.streams.session.enforce();
            self.streams.known().values().for_each(|stream| stream.window.enforce());
        }
        true
    }

    async fn offer(&mut self, number: u32, fin: bool, headers: Headers, window: Window) -> Result<(), Fault> {
        if number.is_multiple_of(2) || number <= self.last {
            return Err(Fault::Number(number));
        }
        self.last = number;
        let (input, inputs) = mpsc::channel(QUEUE_MESSAGES);
        let (window, finished) = (Arc::new(window), Arc::new(AtomicBool::new(false)));
        {
            let mut known = self.streams.known();
            known.retain(|_, stream| stream.input.is_some() || !stream.finished.load(Ordering::Relaxed));
            if known.len() >= STREAMS_MAX {
                return Err(Fault::Crowded);
            }
            let stream = Stream {
                input: (!fin).then_some(input),
                window: Arc::clone(&window),
                finished: Arc::clone(&finished),
            };
            known.insert(number, stream);
        }
        let queue = self.streams.queue.clone();
        let windows = vec![window, Arc::clone(&self.streams.session)];
        let offer = Offer {
            stream: number,
            headers,
            input: Input::new(number, inputs, Some(queue.clone())),
            output: Output::new(number, queue.clone(), windows, finished),
            queue,
        };
        if let Err(mpsc::error::SendError(offer)) = self.offers.send(offer).await {
            offer.refuse().await;
            self.streams.known().remove(&number);
        }
        Ok(())
    }

    /// Hands bytes on, and waits where their taker is slow.
    async fn data(&self, number: u32, data: Bytes) {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let input = self.streams.known().get(&number).and_then(|stream| stream.input.clone());
        let taken = match input {
            _ if data.is_empty() => true,
            Some(input) => hand_on(data, &input, &self.streams.queue).await,
            None => false,
        };
        if !taken {
            // Thrown away is taken too: the client must not wait for it.
            let _ = self.streams.queue.try_send(Outgoing::Taken(number, length));
        }
    }

    /// The client has sent its last on a stream.
    fn ended(&self, number: u32, fin: bool) {
        if fin && let Some(stream) = self.streams.known().get_mut(&number) {
            stream.input = None;
        }
    }
}

/// Writes what is queued, until nothing more will be.
async fn write(
    mut to: impl AsyncWrite + Unpin,
    outgoing: mpsc::Receiver<Outgoing>,
    closing: Closing,
    activity: Activity,
) -> std::io::Result<()> {
    let (mut packer, mut bytes) = (Packer::new(), BytesMut::with_capacity(WRITE_BYTES));
    let mut queue = Queue::new(outgoing, closing);
    loop {
        let Some(next) = queue.next().await else { return to.flush().await };
        let mut news = encode(next, &mut packer, &mut bytes);
        while bytes.len() < WRITE_BYTES
            && let Some(more) = queue.ready()
        {
            news |= encode(more, &mut packer, &mut bytes);
        }
        to.write_all_buf(&mut bytes).await?;
        to.flush().await?;
        if news {
            activity.touch();
        }
    }
}

/// Puts a frame; whether it is more than a sign of life.
fn encode(outgoing: Outgoing, packer: &mut Packer, bytes: &mut BytesMut) -> bool {
    let frame = match outgoing {
        Outgoing::Accept(stream) => Frame::SynReply { stream, fin: false, block: packer.nothing() },
        Outgoing::Refuse(stream) => Frame::Reset { stream, status: REFUSED },
        Outgoing::Data(stream, data) => Frame::Data { stream, data, fin: false },
        Outgoing::Finish(stream) => Frame::Data { stream, data: Bytes::new(), fin: true },
        Outgoing::Taken(stream, delta) => {
            Frame::WindowUpdate { stream: 0, delta }.encode(bytes);
            Frame::WindowUpdate { stream, delta }
        }
        Outgoing::Pong(number) => Frame::Ping(number),
        Outgoing::Alive => Frame::Ping(UNASKED),
    };
    frame.encode(bytes);
    !matches!(frame, Frame::Ping(_))
}
