//! Envelopes sealed by a TLS session: in pieces of 16 KiB, each a record of TLS.
//!
//! Before a record stands how many bytes of it come after the sealed ones, as Windows' library asks for them: 16 with the
//! ciphers here.

use super::{BOUNDARY, OCTETS, find, head, length};
use crate::authentication::Tls;

const PROTOCOL: &str = "application/HTTP-CredSSP-session-encrypted";
/// The longest piece.
const PIECE: usize = 16 * 1024;
/// What comes after the sealed bytes of a record.
const TRAILER: u32 = 16;

/// Whether a body of this type is so sealed.
pub(super) fn is(content_type: &str) -> bool {
    let kinds = ["multipart/encrypted", "multipart/x-multi-encrypted"];
    kinds.iter().any(|kind| content_type.starts_with(kind)) && content_type.contains(PROTOCOL)
}

/// Opens a body; `None` where it is malformed, or the client has not sealed it.
pub(super) fn open(mut body: &[u8], tls: &mut Tls) -> Option<Vec<u8>> {
    let mut envelope = Vec::new();
    loop {
        let begin = find(body, OCTETS)? + OCTETS.len();
        let length = length(&body[..begin], PROTOCOL).filter(|&length| length <= PIECE)?;
        let (trailer, mut rest) = body[begin..].split_first_chunk()?;
        if u32::from_le_bytes(*trailer) != TRAILER {
            return None;
        }
        let mut piece = Vec::new();
        while piece.len() < length {
            let (record, after) = record(rest)?;
            piece.extend(tls.take(record)?);
            rest = after;
        }
        if piece.len() != length {
            return None;
        }
        envelope.extend(piece);
        if rest.trim_ascii_end() == format!("--{BOUNDARY}--").as_bytes() {
            return Some(envelope);
        }
        body = rest.starts_with(b"--").then_some(rest)?;
    }
}

/// Seals an envelope; answers the type of the body, and the body.
pub(super) fn seal(envelope: &[u8], tls: &mut Tls) -> (String, Vec<u8>) {
    let kind = if envelope.len() > PIECE { "multipart/x-multi-encrypted" } else { "multipart/encrypted" };
    let mut body = Vec::new();
    for piece in envelope.chunks(PIECE) {
        body.extend(head(piece.len(), PROTOCOL).bytes());
        body.extend(TRAILER.to_le_bytes());
        body.extend(tls.give(piece));
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    (format!("{kind};protocol=\"{PROTOCOL}\";boundary=\"{BOUNDARY}\""), body)
}

/// The first record of TLS, and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_be_bytes(*bytes.get(3..)?.first_chunk()?);
    bytes.split_at_checked(5 + usize::from(length))
}
