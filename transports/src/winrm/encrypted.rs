//! The form in which sealed messages cross HTTP: `multipart/encrypted` (MS-WSMV 2.2.9.1).
//!
//! ```text
//!   --Encrypted Boundary            what it was: type and length of the plain message
//!   --Encrypted Boundary            length of the signature (4 bytes) | signature | sealed message
//!   --Encrypted Boundary--
//! ```
//!
//! - Happy path: [`wrap`] seals a message, [`unwrap`] opens the answer. What seals is what the login brought ([`Seal`]).
//! - Failures: a body that is no such form, whose length is not the told one, or that the other side has not sealed.
//!   Each ends its connection, since what seals is no longer in step.

const BOUNDARY: &str = "--Encrypted Boundary";
const OCTETS: &[u8] = b"application/octet-stream\r\n";
const ORIGINAL: &str = "OriginalContent:";

/// How HTTP is told of sealed messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// What they are sealed by.
    pub(super) protocol: &'static str,
    /// The content type of one.
    pub(super) content_type: &'static str,
}

/// After a login under `Negotiate`, whatever that came to, or under `NTLM`.
pub(super) const SPNEGO: Form = Form {
    protocol: "application/HTTP-SPNEGO-session-encrypted",
    content_type: "multipart/encrypted;\
        protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"",
};

/// What seals the messages of one connection.
pub(super) trait Seal: Send {
    /// How HTTP is told of it.
    fn form(&self) -> &'static Form;

    /// Encrypts a message in place and gives its signature. None where it can seal no more.
    fn seal(&mut self, message: &mut [u8]) -> Option<Vec<u8>>;

    /// Decrypts a message in place. False where its signature is not the other side's.
    fn open(&mut self, signature: &[u8], message: &mut [u8]) -> bool;
}

/// Seals a message. None where that cannot be done any more.
pub(super) fn wrap(sealer: &mut dyn Seal, message: &str) -> Option<Vec<u8>> {
    let mut content = message.as_bytes().to_vec();
    let signature = sealer.seal(&mut content)?;
    let protocol = sealer.form().protocol;
    let mut body = format!(
        "{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\t{ORIGINAL} type=application/soap+xml;charset=UTF-8;Length={}\r\n\
         {BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n",
        content.len()
    )
    .into_bytes();
    body.extend_from_slice(&u32::try_from(signature.len()).ok()?.to_le_bytes());
    body.extend_from_slice(&signature);
    body.extend_from_slice(&content);
    body.extend_from_slice(BOUNDARY.as_bytes());
    body.extend_from_slice(b"--\r\n");
    Some(body)
}

/// Opens a sealed message; none where it is not one of the other side's.
pub(super) fn unwrap(sealer: &mut dyn Seal, body: &[u8]) -> Option<String> {
    let second = find(body, OCTETS)?;
    let head = std::str::from_utf8(&body[..second]).ok()?;
    let original = head.lines().find_map(|line| line.trim().strip_prefix(ORIGINAL))?;
    let length: usize = original.rsplit_once("Length=")?.1.trim().parse().ok()?;

    let part = &body[second + OCTETS.len()..];
    let (size, part) = part.split_first_chunk::<4>()?;
    let (signature, rest) = part.split_at_checked(u32::from_le_bytes(*size).try_into().ok()?)?;
    let (message, end) = rest.split_at_checked(length)?;
    if !end.starts_with(BOUNDARY.as_bytes()) {
        return None;
    }
    let mut message = message.to_vec();
    if !sealer.open(signature, &mut message) {
        return None;
    }
    String::from_utf8(message).ok()
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    body.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::super::ntlm::{SIGNATURE_BYTES, Sealer};
    use super::*;

    #[test]
    fn a_message_comes_back_and_a_changed_one_does_not() {
        let (mut client, mut server) = (Sealer::client(&[3; 16]), Sealer::server(&[3; 16]));
        for text in ["<a/>", "", "ümlaut --Encrypted Boundary-- and more"] {
            assert_eq!(unwrap(&mut server, &wrap(&mut client, text).unwrap()).as_deref(), Some(text));
            assert_eq!(unwrap(&mut client, &wrap(&mut server, text).unwrap()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_changed_or_cut_message_is_none() {
        let sealed = wrap(&mut Sealer::client(&[3; 16]), "the message").unwrap();
        let open = |body: &[u8]| unwrap(&mut Sealer::server(&[3; 16]), body);
        assert_eq!(open(&sealed).as_deref(), Some("the message"));
        let signature = find(&sealed, OCTETS).unwrap() + OCTETS.len();
        for at in signature..signature + 4 + SIGNATURE_BYTES + "the message".len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x20;
            assert_eq!(open(&changed), None, "byte {at}");
        }
        for length in 0..sealed.len() - "--\r\n".len() {
            assert_eq!(open(&sealed[..length]), None, "cut at {length}");
        }
        let text = String::from_utf8_lossy(&sealed).replace("Length=11", "Length=4000000000");
        assert_eq!(open(text.as_bytes()), None);
    }
}
