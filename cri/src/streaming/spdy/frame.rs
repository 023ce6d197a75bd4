//! The frames of SPDY/3.1: bytes to frames and back, with no I/O and no state but what is not complete yet.
//!
//! ```text
//!   control: 1 version:15 type:16 | flags:8 length:24 | payload
//!   data:    0 stream:31          | flags:8 length:24 | payload
//! ```
//!
//! - Happy path: [`Codec::decode`] gives each frame as it is complete. A data frame may have 16 MB: it is given in
//!   pieces as they arrive, so it never has to fit into memory.
//! - Failures: another version, a control frame longer than [`CONTROL_MAX_BYTES`] or of the wrong length for its type.
//!   Each ends the connection. A type that is not known is skipped, as the protocol asks.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest payload of a control frame that is taken.
const CONTROL_MAX_BYTES: usize = 64 * 1024;
/// The largest piece of a data frame that is given at once, and the largest data frame that is made.
pub(super) const PIECE_MAX_BYTES: usize = 32 * 1024;
/// The bytes before a payload.
const HEAD_BYTES: usize = 8;
/// SPDY/3 and SPDY/3.1 say 3 both.
const VERSION: u16 = 3;
const FIN: u8 = 1;
/// The highest 31-bit number.
const LAST: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// A frame, or a piece of a data frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Opens a stream.
    SynStream { stream: u32, fin: bool, block: Bytes },
    /// Accepts a stream.
    SynReply { stream: u32, fin: bool, block: Bytes },
    /// Ends a stream both ways.
    Reset { stream: u32, status: u32 },
    /// Settings as pairs of number and value.
    Settings(Vec<(u32, u32)>),
    /// To be sent back as it is.
    Ping(u32),
    /// No further streams.
    GoAway { last: u32, status: u32 },
    /// Further headers of a stream.
    Headers { stream: u32, fin: bool, block: Bytes },
    /// So many more bytes may be sent.
    WindowUpdate { stream: u32, delta: u32 },
    /// Bytes of a stream, and whether they are its last.
    Data { stream: u32, data: Bytes, fin: bool },
}

/// Why bytes are no SPDY.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("SPDY version {0}, only 3 is spoken here")]
    Version(u16),
    #[error("a control frame of type {kind} with {length} bytes")]
    Length { kind: u16, length: usize },
}

/// Takes frames out of bytes.
#[derive(Debug, Default)]
pub(super) struct Codec {
    /// The data frame whose payload arrives.
    data: Option<Rest>,
    /// Bytes of an unknown control frame that are still to be skipped.
    skip: usize,
}

#[derive(Debug)]
struct Rest {
    stream: u32,
    bytes: usize,
    fin: bool,
}

impl Codec {
    /// The next frame; none until more bytes have arrived.
    pub(super) fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        loop {
            let skipped = self.skip.min(bytes.len());
            bytes.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(None);
            }
            if let Some(rest) = self.data.take() {
                return Ok(self.piece(rest, bytes));
            }
            if bytes.len() < HEAD_BYTES {
                return Ok(None);
            }
            let mut head = &bytes[..HEAD_BYTES];
            let (first, second) = (head.get_u32(), head.get_u32());
            let flags = (second >> 24) as u8;
            let length = (second & 0x00ff_ffff) as usize;
            if first & !LAST == 0 {
                bytes.advance(HEAD_BYTES);
                self.data = Some(Rest { stream: first, bytes: length, fin: flags & FIN != 0 });
                continue;
            }
            let version = ((first & LAST) >> 16) as u16;
            let kind = (first & 0xffff) as u16;
            if version != VERSION {
                return Err(Malformed::Version(version));
            }
            if length > CONTROL_MAX_BYTES {
                return Err(Malformed::Length { kind, length });
            }
            if !matches!(kind, SYN_STREAM..=SETTINGS | PING..=WINDOW_UPDATE) {
                bytes.advance(HEAD_BYTES);
                self.skip = length;
                continue;
            }
            if bytes.len() < HEAD_BYTES + length {
                bytes.reserve(HEAD_BYTES + length - bytes.len());
                return Ok(None);
            }
            bytes.advance(HEAD_BYTES);
            let payload = bytes.split_to(length).freeze();
            return control(kind, flags & FIN != 0, payload).map(Some);
        }
    }

    /// What has arrived of a data frame.
    fn piece(&mut self, mut rest: Rest, bytes: &mut BytesMut) -> Option<Frame> {
        if rest.bytes > 0 && bytes.is_empty() {
            self.data = Some(rest);
            return None;
        }
        let data = bytes.split_to(rest.bytes.min(bytes.len()).min(PIECE_MAX_BYTES)).freeze();
        rest.bytes -= data.len();
        let whole = rest.bytes == 0;
        let (stream, fin) = (rest.stream, rest.fin && whole);
        if !whole {
            self.data = Some(rest);
        }
        Some(Frame::Data { stream, data, fin })
    }
}

fn control(kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, Malformed> {
    let length = payload.len();
    let needs = match kind {
        SYN_STREAM => length >= 10,
        SYN_REPLY | HEADERS | SETTINGS => length >= 4,
        PING => length == 4,
        _ => length == 8,
    };
    if !needs {
        return Err(Malformed::Length { kind, length });
    }
    let number = payload.get_u32();
    let stream = number & LAST;
    Ok(match kind {
        SYN_STREAM => {
            // The stream that it belongs to, and its priority: nothing here asks for either.
            payload.advance(6);
            Frame::SynStream { stream, fin, block: payload }
        }
        SYN_REPLY => Frame::SynReply { stream, fin, block: payload },
        HEADERS => Frame::Headers { stream, fin, block: payload },
        RST_STREAM => Frame::Reset { stream, status: payload.get_u32() },
        GOAWAY => Frame::GoAway { last: stream, status: payload.get_u32() },
        WINDOW_UPDATE => Frame::WindowUpdate { stream, delta: payload.get_u32() & LAST },
        PING => Frame::Ping(number),
        _ => {
            if Some(payload.len()) != usize::try_from(number).ok().and_then(|count| count.checked_mul(8)) {
                return Err(Malformed::Length { kind, length });
            }
            let mut settings = Vec::with_capacity(payload.len() / 8);
            while payload.has_remaining() {
                settings.push((payload.get_u32() & 0x00ff_ffff, payload.get_u32()));
            }
            Frame::Settings(settings)
        }
    })
}

impl Frame {
    /// Puts the frame's bytes. A block or data that is longer than a frame can be is the caller's mistake.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::SynStream { stream, fin, block } => {
                put(out, SYN_STREAM, *fin, 10 + block.len());
                out.put_u32(*stream);
                out.put_slice(&[0; 6]);
                out.put_slice(block);
            }
            Self::SynReply { stream, fin, block } => {
                put(out, SYN_REPLY, *fin, 4 + block.len());
                out.put_u32(*stream);
                out.put_slice(block);
            }
            Self::Headers { stream, fin, block } => {
                put(out, HEADERS, *fin, 4 + block.len());
                out.put_u32(*stream);
                out.put_slice(block);
            }
            Self::Reset { stream, status } => pair(out, RST_STREAM, *stream, *status),
            Self::GoAway { last, status } => pair(out, GOAWAY, *last, *status),
            Self::WindowUpdate { stream, delta } => pair(out, WINDOW_UPDATE, *stream, *delta),
            Self::Ping(number) => {
                put(out, PING, false, 4);
                out.put_u32(*number);
            }
            Self::Settings(settings) => {
                put(out, SETTINGS, false, 4 + 8 * settings.len());
                out.put_u32(length_of(settings.len()));
                for (id, value) in settings {
                    out.put_u32(*id);
                    out.put_u32(*value);
                }
            }
            Self::Data { stream, data, fin } => {
                out.put_u32(stream & LAST);
                out.put_u32(u32::from(if *fin { FIN } else { 0 }) << 24 | length_of(data.len()));
                out.put_slice(data);
            }
        }
    }
}

fn put(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | length_of(length));
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    put(out, kind, false, 8);
    out.put_u32(first);
    out.put_u32(second);
}

fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    fn some(random: &mut StdRng, most: usize) -> Bytes {
        let mut bytes = vec![0; random.random_range(0..=most)];
        random.fill_bytes(&mut bytes);
        bytes.into()
    }

    fn frame(random: &mut StdRng) -> Frame {
        let stream = random.random_range(0..=LAST);
        let (fin, number) = (random.random(), random.random());
        match random.random_range(0..9) {
            0 => Frame::SynStream { stream, fin, block: some(random, 300) },
            1 => Frame::SynReply { stream, fin, block: some(random, 300) },
            2 => Frame::Headers { stream, fin, block: some(random, 300) },
            3 => Frame::Reset { stream, status: number },
            4 => Frame::GoAway { last: stream, status: number },
            5 => Frame::WindowUpdate { stream, delta: number & LAST },
            6 => Frame::Ping(number),
            7 => Frame::Settings((0..random.random_range(0..5)).map(|id| (id, random.random())).collect()),
            _ => Frame::Data { stream, fin, data: some(random, 3000) },
        }
    }

    /// Data frames that arrived in pieces, as the whole ones that they were.
    fn join(frames: Vec<Frame>) -> Vec<Frame> {
        let mut joined: Vec<Frame> = Vec::new();
        for frame in frames {
            if let (
                Some(Frame::Data { stream, data, fin: fin @ false }),
                Frame::Data { stream: next, data: more, fin: end },
            ) = (joined.last_mut(), &frame)
                && stream == next
            {
                *data = [&data[..], &more[..]].concat().into();
                *fin = *end;
                continue;
            }
            joined.push(frame);
        }
        joined
    }

    #[test]
    fn frames_come_back_however_their_bytes_arrive() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let frames: Vec<Frame> = (0..20).map(|_| frame(&mut random)).collect();
            let mut sent = BytesMut::new();
            for frame in &frames {
                frame.encode(&mut sent);
            }
            let (mut codec, mut arrived, mut decoded) = (Codec::default(), BytesMut::new(), Vec::new());
            while !sent.is_empty() {
                let piece = random.random_range(1..=sent.len().min(700));
                arrived.extend_from_slice(&sent.split_to(piece));
                while let Some(frame) = codec.decode(&mut arrived).expect("well formed") {
                    decoded.push(frame);
                }
            }
            assert_eq!(join(decoded), join(frames), "seed {seed}");
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn garbage_is_an_error_or_nothing_and_never_piles_up() {
        for seed in 0..2000 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut codec = Codec::default();
            let mut bytes = BytesMut::new();
            'connection: for _ in 0..50 {
                let mut garbage = some(&mut random, 200).to_vec();
                if random.random() && garbage.len() > 4 {
                    // Near enough to a control frame to get far.
                    garbage[..4].copy_from_slice(&[0x80, 3, 0, random.random_range(0..12)]);
                }
                bytes.extend_from_slice(&garbage);
                loop {
                    match codec.decode(&mut bytes) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'connection,
                    }
                }
                assert!(
                    bytes.len() <= HEAD_BYTES + CONTROL_MAX_BYTES,
                    "seed {seed}: {} bytes wait",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn a_huge_data_frame_is_given_in_pieces() {
        let mut bytes = BytesMut::new();
        bytes.put_u32(5);
        bytes.put_u32(0x01ff_ffff);
        let mut codec = Codec::default();
        assert_eq!(codec.decode(&mut bytes), Ok(None));
        bytes.put_slice(b"beginning");
        let data = Bytes::from_static(b"beginning");
        assert_eq!(codec.decode(&mut bytes), Ok(Some(Frame::Data { stream: 5, data, fin: false })));
        assert!(bytes.is_empty() && codec.decode(&mut bytes) == Ok(None));
    }

    #[test]
    fn what_is_malformed_says_how() {
        let decode = |bytes: &[u8]| Codec::default().decode(&mut BytesMut::from(bytes));
        assert_eq!(decode(&[0x80, 2, 0, 1, 0, 0, 0, 10]), Err(Malformed::Version(2)));
        let huge = decode(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]);
        assert_eq!(huge, Err(Malformed::Length { kind: SYN_STREAM, length: 0x00ff_ffff }));
        let short = decode(&[0x80, 3, 0, 6, 0, 0, 0, 3, 1, 2, 3]);
        assert_eq!(short, Err(Malformed::Length { kind: PING, length: 3 }));
        let miscounted = decode(&[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(miscounted, Err(Malformed::Length { kind: SETTINGS, length: 4 }));
    }
}
