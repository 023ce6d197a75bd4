//! Envelopes sealed for plain HTTP: a `multipart/encrypted` body, told as [MS-WSMV] 2.2.9.1 does.
//!
//! ```text
//!   --Encrypted Boundary    type and length of what is sealed
//!   --Encrypted Boundary    length of the signature (4 bytes), signature, sealed envelope
//!   --Encrypted Boundary--
//! ```
//!
//! Under `CredSSP` both parts come once for each 16 KiB of the envelope ([`pieces`]).

mod pieces;

use crate::authentication::{Seal, Sealing};

const BOUNDARY: &str = "Encrypted Boundary";
const ORIGINAL: &str = "application/soap+xml;charset=UTF-8";
const OCTETS: &[u8] = b"application/octet-stream\r\n";

/// Whether a body of this type is sealed.
pub(crate) fn is(content_type: &str) -> bool {
    let one = content_type.starts_with("multipart/encrypted") && content_type.contains("-session-encrypted");
    one || pieces::is(content_type)
}

/// Opens a body; `None` where it is malformed, or was not sealed by who is known.
pub(crate) fn open(body: &[u8], seal: &mut Seal) -> Option<Vec<u8>> {
    match seal {
        Seal::Signed(sealing) => open_one(body, sealing),
        Seal::Tls(tls) => pieces::open(body, tls),
    }
}

/// Seals an envelope; answers the type of the body, and the body.
pub(crate) fn seal(envelope: &[u8], seal: &mut Seal) -> (String, Vec<u8>) {
    match seal {
        Seal::Signed(sealing) => {
            let protocol = sealing.protocol();
            let content_type = format!("multipart/encrypted;protocol=\"{protocol}\";boundary=\"{BOUNDARY}\"");
            (content_type, seal_one(envelope, sealing))
        }
        Seal::Tls(tls) => pieces::seal(envelope, tls),
    }
}

fn open_one(body: &[u8], sealing: &mut Sealing) -> Option<Vec<u8>> {
    let begin = find(body, OCTETS)? + OCTETS.len();
    let length = length(&body[..begin], sealing.protocol())?;
    let end = format!("--{BOUNDARY}--");
    let sealed = body[begin..].trim_ascii_end().strip_suffix(end.as_bytes())?;
    let (size, rest) = sealed.split_first_chunk::<4>()?;
    let (signature, sealed) = rest.split_at_checked(u32::from_le_bytes(*size).try_into().ok()?)?;
    let opened = sealing.open(signature, sealed)?;
    (opened.len() == length).then_some(opened)
}

fn seal_one(envelope: &[u8], sealing: &mut Sealing) -> Vec<u8> {
    let (signature, sealed) = sealing.seal(envelope);
    let length = u32::try_from(signature.len()).unwrap_or_default();
    let mut body = head(envelope.len(), sealing.protocol()).into_bytes();
    body.extend(length.to_le_bytes());
    body.extend(signature);
    body.extend(sealed);
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

/// What stands before something sealed of this length.
fn head(length: usize, protocol: &str) -> String {
    format!(
        "--{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: type={ORIGINAL};Length={length}\r\n\
         --{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
    )
}

/// The length that such a head tells.
fn length(head: &[u8], protocol: &str) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    if head.matches(&format!("--{BOUNDARY}\r\n")).count() != 2 || !head.contains(protocol) {
        return None;
    }
    head.split_once("Length=")?.1.lines().next()?.trim().parse().ok()
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}
