//! A SPDY connection as a client sees it, friendly and not.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::connection::Connection;
use super::frame::{Codec, Frame};
use super::headers::{Headers, Packer, Unpacker};
use super::{Offer, serve};

const PATIENCE: Duration = Duration::from_secs(30);
/// What the pipe between client and server holds.
const PIPE_BYTES: usize = 16 * 1024;
/// How long a write may take that goes on at all.
const STUCK: Duration = Duration::from_millis(500);

struct Client<S> {
    socket: S,
    codec: Codec,
    bytes: BytesMut,
    packer: Packer,
    unpacker: Unpacker,
}

impl Client<DuplexStream> {
    fn new() -> (Self, Connection, mpsc::Receiver<Offer>) {
        let (near, socket) = tokio::io::duplex(PIPE_BYTES);
        let (connection, offers) = serve(near, PATIENCE);
        (Self::on(socket), connection, offers)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn on(socket: S) -> Self {
        let (packer, unpacker) = (Packer::new(), Unpacker::new());
        Self { socket, codec: Codec::default(), bytes: BytesMut::new(), packer, unpacker }
    }

    async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        timeout(PATIENCE, self.socket.write_all(&bytes)).await.expect("it is taken").expect("it is open");
    }

    async fn open(&mut self, stream: u32, kind: &str) {
        let block = self.packer.headers(&Headers::from([("Streamtype", kind)]));
        self.send(Frame::SynStream { stream, fin: false, block }).await;
    }

    async fn data(&mut self, stream: u32, data: &'static [u8], fin: bool) {
        self.send(Frame::Data { stream, data: Bytes::from_static(data), fin }).await;
    }

    /// Sends more than is taken. Only a write that does not end tells of it.
    async fn fill(&mut self, stream: u32, most: usize) {
        let mut bytes = BytesMut::new();
        Frame::Data { stream, data: vec![7; 8000].into(), fin: false }.encode(&mut bytes);
        let mut sent = 0;
        while timeout(STUCK, self.socket.write_all(&bytes)).await.is_ok() {
            sent += bytes.len();
            assert!(sent < most, "all of it is taken, though nobody reads");
        }
    }

    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.bytes).expect("the server speaks SPDY") {
                return Some(frame);
            }
            // With room for whole frames, which else would come in pieces.
            self.bytes.reserve(PIPE_BYTES);
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.bytes)).await.expect("it comes");
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn accepted(&mut self, stream: u32) {
        match self.next().await {
            Some(Frame::SynReply { stream: accepted, fin: false, block }) if accepted == stream => {
                assert_eq!(self.unpacker.unpack(&block), Ok(Headers::default()));
            }
            other => panic!("no reply for {stream}: {other:?}"),
        }
    }
}

async fn offered(offers: &mut mpsc::Receiver<Offer>) -> Offer {
    timeout(PATIENCE, offers.recv()).await.expect("in time").expect("an offer")
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_close_by_halves() {
    let (mut client, connection, mut offers) = Client::new();
    client.open(1, "data").await;
    client.data(1, b"early", false).await;
    let offer = offered(&mut offers).await;
    assert_eq!((offer.stream, offer.headers.get("streamtype")), (1, Some("data")));
    let (mut input, output) = offer.accept().await.unwrap();
    client.accepted(1).await;
    assert_eq!(input.next().await.unwrap(), "early");
    client.data(1, b"last", true).await;
    assert_eq!((input.next().await.unwrap(), input.next().await), (Bytes::from_static(b"last"), None));
    output.send(Bytes::from_static(b"answer")).await.unwrap();
    output.finish().await.unwrap();
    drop(connection);
    let answer = Frame::Data { stream: 1, data: Bytes::from_static(b"answer"), fin: false };
    assert_eq!(client.next().await, Some(answer));
    assert_eq!(client.next().await, Some(Frame::Data { stream: 1, data: Bytes::new(), fin: true }));
    drop(client);
    timeout(PATIENCE, output.gone()).await.expect("the end is seen");
}

#[tokio::test]
async fn a_refused_stream_is_reset_and_a_ping_comes_back() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "x").await;
    offered(&mut offers).await.refuse().await;
    assert_eq!(client.next().await, Some(Frame::Reset { stream: 1, status: 3 }));
    client.send(Frame::Ping(7)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(7)));
    drop(offers);
    client.open(3, "x").await;
    assert_eq!(client.next().await, Some(Frame::Reset { stream: 3, status: 3 }));
}

#[tokio::test]
async fn windows_are_kept_by_who_knows_them() {
    let (mut client, _connection, mut offers) = Client::new();
    client.send(Frame::Settings(vec![(7, 5)])).await;
    client.open(1, "data").await;
    let (_input, output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    let sending = tokio::spawn(async move { output.send(Bytes::from_static(b"hello world")).await });
    let piece =
        |data: &'static [u8]| Some(Frame::Data { stream: 1, data: Bytes::from_static(data), fin: false });
    assert_eq!(client.next().await, piece(b"hello"));
    // Nothing but the answer comes before more is granted.
    client.send(Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)));
    client.send(Frame::WindowUpdate { stream: 1, delta: 100 }).await;
    assert_eq!(client.next().await, piece(b" world"));
    timeout(PATIENCE, sending).await.unwrap().unwrap().expect("all is sent");
}

#[tokio::test]
async fn what_is_taken_is_granted_again() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "data").await;
    let (mut input, _output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    client.send(Frame::Data { stream: 1, data: vec![0; 20_000].into(), fin: true }).await;
    let mut taken = 0;
    while let Some(bytes) = timeout(PATIENCE, input.next()).await.unwrap() {
        taken += bytes.len();
    }
    assert_eq!(taken, 20_000);
    let (Some(Frame::WindowUpdate { stream: 0, delta }), Some(Frame::WindowUpdate { stream: 1, .. })) =
        (client.next().await, client.next().await)
    else {
        panic!("no window update");
    };
    assert!((16 * 1024..=20_000).contains(&delta), "{delta}");
}

#[tokio::test]
async fn a_slow_taker_holds_the_client_back() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "data").await;
    let (mut input, _output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    client.fill(1, 4 << 20).await;
    assert!(timeout(PATIENCE, input.next()).await.expect("it is there").is_some());
}

#[tokio::test]
async fn a_client_that_vanishes_behind_its_input_is_noticed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let mut client = Client::on(client.unwrap());
    let idle = 100 * PATIENCE;
    let (_connection, mut offers) = serve(accepted.unwrap().0, idle);
    client.open(1, "data").await;
    let (_input, output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    // The kernel holds some of it too.
    client.fill(1, 64 << 20).await;
    drop(client);
    tokio::time::pause();
    timeout(idle / 2, output.gone()).await.expect("the end is seen, though the input is not taken");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_input_waits_is_shown_signs_of_life() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "data").await;
    let (mut input, _output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    for _ in 0..20 {
        client.data(1, b"typed", false).await;
    }
    for _ in 0..2 {
        assert_eq!(client.next().await, Some(Frame::Ping(u32::MAX)), "one that the client does not answer");
    }
    for _ in 0..20 {
        assert_eq!(input.next().await.unwrap(), "typed", "nothing is lost");
    }
    client.send(Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)), "no further sign of life");
}

#[tokio::test]
async fn a_reset_stream_takes_nothing_more() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "data").await;
    let (mut input, output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    client.send(Frame::Reset { stream: 1, status: 5 }).await;
    assert_eq!(timeout(PATIENCE, input.next()).await.expect("it ends"), None);
    assert!(output.is_cut() && output.send(Bytes::from_static(b"x")).await.is_err());
    client.open(3, "data").await;
    offered(&mut offers).await.accept().await.expect("the others go on");
}

#[tokio::test]
async fn numbers_that_go_back_and_too_many_streams_end_the_connection() {
    for numbers in [&[2][..], &[3, 3], &[5, 3]] {
        let (mut client, _connection, mut offers) = Client::new();
        for &number in numbers {
            client.open(number, "x").await;
        }
        while timeout(PATIENCE, offers.recv()).await.expect("it ends").is_some() {}
        assert_eq!(client.next().await, None, "{numbers:?}");
    }
    let (mut client, _connection, mut offers) = Client::new();
    let count = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(offer) = timeout(PATIENCE, offers.recv()).await.expect("it ends") {
            kept.push(offer);
        }
        kept.len()
    });
    for number in 0..300 {
        let block = client.packer.headers(&Headers::from([("streamtype", "x")]));
        let mut bytes = BytesMut::new();
        Frame::SynStream { stream: 2 * number + 1, fin: false, block }.encode(&mut bytes);
        if client.socket.write_all(&bytes).await.is_err() {
            break;
        }
    }
    assert_eq!(count.await.unwrap(), 256);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_is_told() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut client, _connection, mut offers) = Client::new();
        client.open(1, "data").await;
        let (mut input, output) = offered(&mut offers).await.accept().await.unwrap();
        let mut garbage = vec![0; random.random_range(0..4000)];
        random.fill_bytes(&mut garbage);
        if random.random() && garbage.len() > 8 {
            garbage[..4].copy_from_slice(&[0x80, 3, 0, random.random_range(0..12)]);
            garbage[4..6].copy_from_slice(&[0, 0]);
        }
        let _ = timeout(PATIENCE, client.socket.write_all(&garbage)).await.expect("it is taken, or it ends");
        drop(client);
        let ended = async {
            while input.next().await.is_some() {}
            while offers.recv().await.is_some() {}
            output.gone().await;
        };
        timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("seed {seed} goes on"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lies_still_is_cut_off() {
    let (mut client, _connection, mut offers) = Client::new();
    client.open(1, "data").await;
    let (_input, output) = offered(&mut offers).await.accept().await.unwrap();
    client.accepted(1).await;
    let before = tokio::time::Instant::now();
    output.gone().await;
    assert!(before.elapsed() + Duration::from_secs(1) >= PATIENCE, "{:?}", before.elapsed());
}
