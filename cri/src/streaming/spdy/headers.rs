//! The header blocks of SPDY/3.1: names and values, compressed by one zlib stream for each direction of a connection.
//!
//! - Happy path: each block continues the stream and ends with a flush, so it gives whole pairs.
//! - Failures: a block that zlib refuses, that unpacks to more than [`UNPACKED_MAX_BYTES`] (whatever it holds, not a byte
//!   more is unpacked), or whose pairs do not fit. Each ends the connection, since the zlib stream is lost with it.

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::dictionary;

/// The most bytes that a block may unpack to.
const UNPACKED_MAX_BYTES: usize = 32 * 1024;
/// The most pairs of a block.
const PAIRS_MAX: u32 = 128;

/// Names, in lower case, and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::streaming) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a name in lower case; the first one of several.
    pub(in crate::streaming) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.map(|value| value.split('\0').next().unwrap_or_default())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

/// A block that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header block that cannot be read: {0}")]
pub(super) struct BadBlock(&'static str);

/// Unpacks the blocks of one direction.
#[derive(Debug)]
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Every block must come here, also of a stream that is refused.
    pub(super) fn unpack(&mut self, block: &[u8]) -> Result<Headers, BadBlock> {
        let mut rest = block;
        let mut unpacked = Vec::with_capacity(1024);
        while !rest.is_empty() || unpacked.len() == unpacked.capacity() {
            if unpacked.len() >= UNPACKED_MAX_BYTES {
                return Err(BadBlock("it is too long"));
            }
            if unpacked.len() == unpacked.capacity() {
                unpacked.reserve_exact(unpacked.len().min(UNPACKED_MAX_BYTES - unpacked.len()));
            }
            let before = (self.0.total_in(), unpacked.len());
            match self.0.decompress_vec(rest, &mut unpacked, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(BadBlock("its stream has ended")),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| BadBlock("of another dictionary"))?;
                }
                Err(_) => return Err(BadBlock("zlib refuses it")),
            }
            let taken = usize::try_from(self.0.total_in() - before.0).unwrap_or(rest.len());
            rest = &rest[taken.min(rest.len())..];
            if (taken, unpacked.len()) == (0, before.1) {
                if rest.is_empty() {
                    break;
                }
                return Err(BadBlock("zlib makes nothing of it"));
            }
        }
        parse(unpacked.into())
    }
}

fn parse(mut block: Bytes) -> Result<Headers, BadBlock> {
    let cut = BadBlock("it is cut");
    let count = block.try_get_u32().map_err(|_| cut)?;
    if count > PAIRS_MAX {
        return Err(BadBlock("it has too many pairs"));
    }
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((text(&mut block)?.to_ascii_lowercase(), text(&mut block)?));
    }
    Ok(Headers(pairs))
}

fn text(block: &mut Bytes) -> Result<String, BadBlock> {
    let cut = || BadBlock("it is cut");
    let length = block.try_get_u32().map_err(|_| cut())? as usize;
    if length > block.len() {
        return Err(cut());
    }
    String::from_utf8(block.split_to(length).into()).map_err(|_| BadBlock("it is no text"))
}

/// Packs the blocks of one direction.
#[derive(Debug)]
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        // It cannot fail before the first byte; without it the blocks would only be longer.
        let _ = compress.set_dictionary(&dictionary());
        Self(compress)
    }

    /// A block without a pair: all that a server has to say.
    pub(super) fn nothing(&mut self) -> Bytes {
        self.pack(&0_u32.to_be_bytes())
    }

    fn pack(&mut self, bytes: &[u8]) -> Bytes {
        let mut block = Vec::with_capacity(bytes.len() + 64);
        let before = self.0.total_in();
        loop {
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(bytes.len());
            let written = self.0.compress_vec(&bytes[taken..], &mut block, FlushCompress::Sync);
            if written.is_err() || block.len() < block.capacity() {
                return block.into();
            }
            block.reserve(64);
        }
    }

    /// What a client sends.
    #[cfg(test)]
    pub(super) fn headers(&mut self, headers: &Headers) -> Bytes {
        let mut bytes = u32::try_from(headers.0.len()).unwrap().to_be_bytes().to_vec();
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        self.pack(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    #[test]
    fn blocks_of_one_stream_come_back() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        let mut random = StdRng::seed_from_u64(1);
        for round in 0..200 {
            let value: String =
                (0..random.random_range(0..2000)).map(|_| random.random_range('a'..='z')).collect();
            let headers = Headers::from([("streamtype", "error"), ("port", "80"), ("x", &value)]);
            assert_eq!(unpacker.unpack(&packer.headers(&headers)), Ok(headers), "round {round}");
        }
        assert_eq!(unpacker.unpack(&packer.nothing()), Ok(Headers::default()));
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        let sent = Headers::from([("streamType", "stdin\0more")]);
        let headers = unpacker.unpack(&packer.headers(&sent)).unwrap();
        assert_eq!((headers.get("streamtype"), headers.get("port")), (Some("stdin"), None));
    }

    #[test]
    fn a_bomb_is_bounded() {
        let mut packer = Packer::new();
        let bomb = packer.pack(&vec![0; 50 << 20]);
        assert!(bomb.len() < 64 << 10, "a frame takes it: {}", bomb.len());
        assert_eq!(Unpacker::new().unpack(&bomb), Err(BadBlock("it is too long")));
    }

    #[test]
    fn counts_and_lengths_that_lie_are_errors() {
        for lie in [
            &[0xff, 0xff, 0xff, 0xff][..],
            &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[0, 0],
            &[0, 0, 0, 1],
        ] {
            assert!(Unpacker::new().unpack(&Packer::new().pack(lie)).is_err(), "{lie:?}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for seed in 0..2000 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut packer = Packer::new();
            let mut block =
                packer.headers(&Headers::from([("streamtype", "error"), ("port", "80")])).to_vec();
            if random.random() {
                let at = random.random_range(0..block.len());
                block[at] ^= random.random_range(1..=255);
                block.truncate(random.random_range(0..=block.len()));
            } else {
                random.fill_bytes(&mut block);
            }
            // Whatever it makes of it, it ends and takes no memory: the checks are the bounds inside.
            let _ = Unpacker::new().unpack(&block);
        }
    }
}
