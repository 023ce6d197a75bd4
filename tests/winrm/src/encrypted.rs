//! Envelopes sealed for plain HTTP: a `multipart/encrypted` body of two parts, told as [MS-WSMV] 2.2.9.1 does.
//!
//! ```text
//!   --Encrypted Boundary    type and length of what is sealed
//!   --Encrypted Boundary    length of the signature (4 bytes), signature, sealed envelope
//!   --Encrypted Boundary--
//! ```

use crate::authentication::Sealing;

const BOUNDARY: &str = "Encrypted Boundary";
const ORIGINAL: &str = "application/soap+xml;charset=UTF-8";
const OCTETS: &[u8] = b"application/octet-stream\r\n";

/// Whether a body of this type is sealed.
pub(crate) fn is(content_type: &str) -> bool {
    content_type.starts_with("multipart/encrypted") && content_type.contains("-session-encrypted")
}

/// The type of a sealed body.
pub(crate) fn content_type(sealing: &Sealing) -> String {
    format!("multipart/encrypted;protocol=\"{}\";boundary=\"{BOUNDARY}\"", sealing.protocol())
}

/// Opens a body; `None` where it is malformed, or was sealed by nobody who is known.
pub(crate) fn open(body: &[u8], sealing: &mut Sealing) -> Option<Vec<u8>> {
    let begin = find(body, OCTETS)? + OCTETS.len();
    let head = std::str::from_utf8(&body[..begin]).ok()?;
    if head.matches(&format!("--{BOUNDARY}\r\n")).count() != 2 || !head.contains(sealing.protocol()) {
        return None;
    }
    let length: usize = head.split_once("Length=")?.1.lines().next()?.trim().parse().ok()?;
    let end = format!("--{BOUNDARY}--");
    let sealed = body[begin..].trim_ascii_end().strip_suffix(end.as_bytes())?;
    let (size, rest) = sealed.split_first_chunk::<4>()?;
    let (signature, sealed) = rest.split_at_checked(u32::from_le_bytes(*size).try_into().ok()?)?;
    let opened = sealing.open(signature, sealed)?;
    (opened.len() == length).then_some(opened)
}

/// Seals an envelope.
pub(crate) fn seal(envelope: &[u8], sealing: &mut Sealing) -> Vec<u8> {
    let ((signature, sealed), protocol) = (sealing.seal(envelope), sealing.protocol());
    let length = u32::try_from(signature.len()).unwrap_or_default();
    let mut body = format!(
        "--{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: type={ORIGINAL};Length={}\r\n\
         --{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n",
        envelope.len()
    )
    .into_bytes();
    body.extend(length.to_le_bytes());
    body.extend(signature);
    body.extend(sealed);
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}
