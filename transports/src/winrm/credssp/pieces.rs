//! Messages sealed by the TLS session: pieces of 16 KiB, each a record of TLS (MS-WSMV 2.2.9.1.3).
//!
//! ```text
//!   --Encrypted Boundary            what it was: type and length of the plain piece
//!   --Encrypted Boundary            how many bytes of the record come after the sealed ones (4 bytes) | record
//!   ...                             the next piece
//!   --Encrypted Boundary--
//! ```
//!
//! - Happy path: [`wrap`] seals a message, [`unwrap`] opens the answer.
//! - Failures: a body that is no such form, a piece whose length is not the told one, or that the guest has not sealed. Each
//!   ends its connection, since the numbers of records are no longer in step. How many pieces there are nobody has sealed: that
//!   the last ones are missing shows in the message, which is no whole XML then, and an empty one is none.

use rustls::Error;

use super::Tls;

const BOUNDARY: &str = "--Encrypted Boundary";
const END: &str = "--Encrypted Boundary--";
const PROTOCOL: &str = "application/HTTP-CredSSP-session-encrypted";
const ORIGINAL: &str = "\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=";
const OCTETS: &str = "\tContent-Type: application/octet-stream\r\n";

/// The content type of a message in one piece, and in several.
const ONE: &str = "multipart/encrypted;\
     protocol=\"application/HTTP-CredSSP-session-encrypted\";boundary=\"Encrypted Boundary\"";
const SEVERAL: &str = "multipart/x-multi-encrypted;\
     protocol=\"application/HTTP-CredSSP-session-encrypted\";boundary=\"Encrypted Boundary\"";

/// The longest piece, which is what one record takes.
const PIECE: usize = 16 * 1024;

/// The bytes of a record after the sealed ones, whichever of our ciphers it is.
const TRAILER: u32 = 16;

/// The bytes before the content of a record: its kind, version and length.
const HEAD: usize = 5;

/// Seals a message; tells the type of what it is then.
pub(in crate::winrm) fn wrap(tls: &mut Tls, message: &str) -> Result<(&'static str, Vec<u8>), Error> {
    let mut body = Vec::with_capacity(message.len() + 1024);
    for piece in message.as_bytes().chunks(PIECE) {
        let length = piece.len();
        let head = format!(
            "{BOUNDARY}\r\n\tContent-Type: {PROTOCOL}\r\n{ORIGINAL}{length}\r\n{BOUNDARY}\r\n{OCTETS}"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&TRAILER.to_le_bytes());
        body.extend_from_slice(&tls.give(piece)?);
    }
    body.extend_from_slice(END.as_bytes());
    body.extend_from_slice(b"\r\n");
    Ok((if message.len() > PIECE { SEVERAL } else { ONE }, body))
}

/// Opens a sealed message; none where it is not one of the guest's.
pub(in crate::winrm) fn unwrap(tls: &mut Tls, mut body: &[u8]) -> Option<String> {
    let mut message = Vec::new();
    while !body.starts_with(END.as_bytes()) {
        let begin = find(body, OCTETS.trim_start().as_bytes())? + OCTETS.trim_start().len();
        let head = std::str::from_utf8(&body[..begin]).ok()?;
        let original = head.lines().find(|line| line.trim_start().starts_with("OriginalContent:"))?;
        let length: usize = original.rsplit_once("Length=")?.1.trim().parse().ok()?;
        // How the record ends is TLS's to know.
        let mut rest = body[begin..].get(4..)?;
        let before = message.len();
        while message.len() - before < length {
            let (record, after) = record(rest)?;
            message.extend(tls.take(record).ok()?);
            rest = after;
        }
        if message.len() - before != length {
            return None;
        }
        body = rest.starts_with(BOUNDARY.as_bytes()).then_some(rest)?;
    }
    String::from_utf8(message).ok().filter(|message| !message.is_empty())
}

/// The first record, and what comes after it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_be_bytes(bytes.get(3..HEAD)?.try_into().ok()?);
    bytes.split_at_checked(HEAD + usize::from(length))
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    body.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seals and opens.
    fn across(from: &mut Tls, to: &mut Tls, message: &str) -> (&'static str, Option<String>) {
        let (kind, body) = wrap(from, message).unwrap();
        (kind, unwrap(to, &body))
    }

    #[test]
    fn a_message_of_any_length_comes_back() {
        let (mut client, mut server) = Tls::pair();
        for length in [1, 17, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 500_000] {
            let message = END.repeat(length / 22 + 1)[..length].to_owned();
            let kind = if length > PIECE { SEVERAL } else { ONE };
            assert_eq!(across(&mut client, &mut server, &message), (kind, Some(message.clone())));
            assert_eq!(across(&mut server, &mut client, &message), (kind, Some(message)));
        }
    }

    #[test]
    fn what_nobody_has_sealed_is_none() {
        let (mut client, _) = Tls::pair();
        let end = format!("{END}\r\n");
        let nothing = format!(
            "{BOUNDARY}\r\n\tContent-Type: {PROTOCOL}\r\n{ORIGINAL}0\r\n{BOUNDARY}\r\n{OCTETS}\u{10}\0\0\0{end}"
        );
        for body in ["", &end, &nothing, "<s:Envelope/>"] {
            assert_eq!(unwrap(&mut client, body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_changed_or_cut_message_is_none() {
        let open = |change: &dyn Fn(&mut Vec<u8>)| {
            let (mut client, mut server) = Tls::pair();
            let mut body = wrap(&mut server, "the message").unwrap().1;
            change(&mut body);
            unwrap(&mut client, &body)
        };
        assert_eq!(open(&|_| {}).as_deref(), Some("the message"));
        let text = format!("{END}\r\n");
        let record = 5 + 8 + "the message".len() + 16;
        for back in 1..=record {
            let changed = |body: &mut Vec<u8>| {
                let at = body.len() - text.len() - back;
                body[at] ^= 0x20;
            };
            assert_eq!(open(&changed), None, "byte {back} from behind");
        }
        for back in 3..record + 200 {
            assert_eq!(open(&|body| body.truncate(body.len() - back)), None, "cut {back} from behind");
        }
        let other = |told: &str| {
            let (mut client, mut server) = Tls::pair();
            let body = wrap(&mut server, "the message").unwrap().1;
            let at = find(&body, b"Length=11").unwrap();
            let changed = [&body[..at], told.as_bytes(), &body[at + 9..]].concat();
            unwrap(&mut client, &changed)
        };
        for told in ["Length=10", "Length=12", "Length=4000000000", "Length=x", "Length="] {
            assert_eq!(other(told), None, "{told}");
        }
    }
}
