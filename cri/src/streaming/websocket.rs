//! Byte streams in the messages of a WebSocket: the first byte of each is its channel.
//!
//! ```text
//!   [channel, bytes ...]      [255, channel]: nothing more on that channel (version 5)
//! ```
//!
//! - Happy path: the channels are fixed, so both ends know them; the reader hands bytes to the channel's queue and waits
//!   where that is full.
//! - Failures: a message beyond [`MESSAGE_MAX_BYTES`] or bytes that are no WebSocket end the connection. A message for a
//!   channel that nobody reads is thrown away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::channel::{Input, Outgoing, Output, QUEUE_MESSAGES, hand_on};
use super::connection::{self, Activity, Closing, Connection, Queue};

/// The longest message that is taken.
const MESSAGE_MAX_BYTES: usize = 1 << 20;
/// What may wait to be written.
const WRITE_BYTES: usize = 128 * 1024;
/// The channel by which another one is closed.
const CLOSE: u8 = 255;
/// Bytes between the tunnel and what is spoken in it.
const TUNNEL_BYTES: usize = 64 * 1024;

/// The end in good order: without a code Kubernetes' clients take it for a failure.
fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

/// Takes over a socket whose upgrade has been answered.
async fn open<S: AsyncRead + AsyncWrite + Unpin>(socket: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES + MESSAGE_MAX_BYTES);
    WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await
}

/// Speaks channels on a socket, in a task of its own. The client writes on the channels `from_client`, and may close one
/// where `closes` says so.
pub(super) async fn serve<S>(
    socket: S,
    from_client: &[u8],
    closes: bool,
    idle: Duration,
) -> (Connection, HashMap<u8, Input>, impl Fn(u8) -> Output)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (connection, closing) = Connection::new();
    let (queue, outgoing) = mpsc::channel(QUEUE_MESSAGES);
    let (mut inputs, mut taken) = (HashMap::new(), HashMap::new());
    for &channel in from_client {
        let (sender, input) = mpsc::channel(QUEUE_MESSAGES);
        inputs.insert(channel, sender);
        taken.insert(channel, Input::new(channel.into(), input, None));
    }
    let (to, from) = open(socket).await.split();
    let (activity, alive) = (Activity::new(), queue.clone());
    tokio::spawn(async move {
        let reading = read(from, inputs, closes, alive, activity.clone());
        let writing = write(to, outgoing, closing, activity.clone());
        connection::run(reading, writing, &activity, idle).await;
    });
    let output = move |channel: u8| {
        Output::new(channel.into(), queue.clone(), Vec::new(), Arc::new(AtomicBool::new(false)))
    };
    (connection, taken, output)
}

async fn read(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut inputs: HashMap<u8, mpsc::Sender<Bytes>>,
    closes: bool,
    queue: mpsc::Sender<Outgoing>,
    activity: Activity,
) -> Result<(), Error> {
    while let Some(message) = from.next().await {
        let mut bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(text)) => text.into(),
            // A client that is killed says no goodbye.
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_)) => {
                return Ok(());
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Ok(()),
            Err(error) => return Err(error),
            // Answered by the library.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
        };
        activity.touch();
        let Some(&channel) = bytes.first() else { continue };
        if closes && channel == CLOSE {
            if let Some(closed) = bytes.get(1) {
                inputs.remove(closed);
            }
            continue;
        }
        let bytes = bytes.split_off(1);
        if !bytes.is_empty()
            && let Some(input) = inputs.get(&channel)
        {
            // Nobody reads it any more: thrown away.
            let _ = hand_on(bytes, input, &queue).await;
        }
    }
    Ok(())
}

async fn write(
    mut to: impl Sink<Message, Error = Error> + Unpin,
    outgoing: mpsc::Receiver<Outgoing>,
    closing: Closing,
    activity: Activity,
) -> std::io::Result<()> {
    let mut queue = Queue::new(outgoing, closing);
    loop {
        let message = match queue.next().await {
            Some(Outgoing::Data(channel, data)) => {
                let mut message = BytesMut::with_capacity(1 + data.len());
                message.put_u8(u8::try_from(channel).unwrap_or(CLOSE));
                message.put_slice(&data);
                Message::Binary(message.freeze())
            }
            Some(Outgoing::Alive) => Message::Pong(Bytes::new()),
            // A server ends a channel with the connection.
            Some(_) => continue,
            None => goodbye(),
        };
        let (last, news) = (message.is_close(), !message.is_pong());
        to.send(message).await.map_err(std::io::Error::other)?;
        if news {
            activity.touch();
        }
        if last {
            return Ok(());
        }
    }
}

/// The bytes in the binary messages of a WebSocket, as a socket.
pub(super) async fn tunnel<S>(socket: S) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (near, far) = tokio::io::duplex(TUNNEL_BYTES);
    let (mut to, mut from) = open(socket).await.split();
    tokio::spawn(async move {
        let (mut spoken, mut heard) = tokio::io::split(far);
        let inward = async {
            while let Some(Ok(message)) = from.next().await {
                match message {
                    Message::Binary(bytes) if heard.write_all(&bytes).await.is_ok() => {}
                    Message::Ping(_) | Message::Pong(_) => {}
                    _ => break,
                }
            }
        };
        let outward = async {
            let mut bytes = BytesMut::with_capacity(TUNNEL_BYTES);
            while spoken.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                if to.send(Message::Binary(bytes.split().freeze())).await.is_err() {
                    return;
                }
                bytes.reserve(TUNNEL_BYTES / 2);
            }
            let _ = to.send(goodbye()).await;
        };
        // Either end is the end of both: what is spoken in the tunnel has an end of its own for each direction.
        tokio::select! {
            () = inward => {}
            () = outward => {}
        }
    });
    near
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn client(socket: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(socket, Role::Client, None).await
    }

    #[tokio::test]
    async fn channels_carry_bytes_and_close_by_themselves() {
        let (near, far) = tokio::io::duplex(1024);
        let (connection, mut inputs, output) = serve(near, &[0, 4], true, PATIENCE).await;
        let mut client = client(far).await;
        for message in [&[0, b'a'][..], &[4, b'{'], &[9, 9], &[], &[0], &[0, b'b'], &[255, 0], &[0, b'c']] {
            client.send(Message::Binary(Bytes::copy_from_slice(message))).await.unwrap();
        }
        let mut stdin = inputs.remove(&0).unwrap();
        assert_eq!(stdin.next().await.unwrap(), "a");
        assert_eq!(stdin.next().await.unwrap(), "b");
        assert_eq!(stdin.next().await, None, "closed by its message");
        assert_eq!(inputs.remove(&4).unwrap().next().await.unwrap(), "{");
        let stdout = output(1);
        stdout.send(Bytes::from_static(b"out")).await.unwrap();
        stdout.finish().await.unwrap();
        drop(connection);
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"\x01out")));
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_vanishes_behind_its_input_is_noticed() {
        let (near, far) = tokio::io::duplex(1024);
        let (_connection, _inputs, output) = serve(near, &[0], true, 3 * PATIENCE).await;
        let mut client = client(far).await;
        for _ in 0..20 {
            client.send(Message::Binary(Bytes::from_static(b"\0typed"))).await.unwrap();
        }
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::new()));
        drop(client);
        timeout(PATIENCE, output(3).gone()).await.expect("the end is seen, though the input is not taken");
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_are_no_activity() {
        let (near, far) = tokio::io::duplex(1024);
        let (_connection, _inputs, output) = serve(near, &[0], true, PATIENCE).await;
        let mut client = client(far).await;
        for _ in 0..20 {
            client.send(Message::Binary(Bytes::from_static(b"\0typed"))).await.unwrap();
        }
        timeout(2 * PATIENCE, output(3).gone()).await.expect("a client that lies still is cut off");
    }

    #[tokio::test]
    async fn garbage_ends_the_connection() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (near, mut far) = tokio::io::duplex(1 << 16);
            let (_connection, mut inputs, output) = serve(near, &[0], true, PATIENCE).await;
            let mut garbage = vec![0; random.random_range(0..5000)];
            random.fill_bytes(&mut garbage);
            let _ = far.write_all(&garbage).await;
            drop(far);
            let mut stdin = inputs.remove(&0).unwrap();
            let ended = async { while stdin.next().await.is_some() {} };
            timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("seed {seed} goes on"));
            timeout(PATIENCE, output(3).gone()).await.unwrap_or_else(|_| panic!("seed {seed} is not told"));
        }
    }

    #[tokio::test]
    async fn a_huge_message_ends_the_connection() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let (_connection, mut inputs, _output) = serve(near, &[0], true, PATIENCE).await;
        far.write_all(&[0x82, 0xff, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5]).await.unwrap();
        assert_eq!(timeout(PATIENCE, inputs.remove(&0).unwrap().next()).await, Ok(None));
    }
}
