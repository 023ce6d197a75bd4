//! SPNEGO (RFC 4178) around NTLM, the one mechanism that is offered in it.

use super::super::der::{OBJECT, SEQUENCE, element};
use super::der::{OCTETS, field, find, inside, write};

/// The list of what is offered: NTLM, 1.3.6.1.4.1.311.2.2.10. A code of NTLM's stands for that nobody has changed it.
pub(super) const OFFERED: &[u8] =
    &[SEQUENCE, 12, OBJECT, 10, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];

/// SPNEGO itself, 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[OBJECT, 6, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

const APPLICATION: u8 = 0x60;
const ENUMERATED: u8 = 0x0a;
const RESPONSE: u8 = 0xa1;
const GOES_ON: &[u8] = &[1];

/// What a guest answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    /// NTLM's own message.
    pub(super) token: Option<&'a [u8]>,
    /// Its code over the list of what was offered.
    pub(super) code: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    pub(super) fn read(token: &'a [u8]) -> Option<Self> {
        let (RESPONSE, content, _) = element(token)? else { return None };
        let fields = inside(content, SEQUENCE)?;
        Some(Self { token: find(fields, 2, OCTETS), code: find(fields, 3, OCTETS) })
    }
}

/// The offer, with NTLM's first message.
pub(super) fn offer(message: &[u8]) -> Vec<u8> {
    let fields = [write(0xa0, OFFERED), field(2, OCTETS, message)].concat();
    let offer = write(0xa0, &write(SEQUENCE, &fields));
    write(APPLICATION, &[SPNEGO, &offer].concat())
}

/// NTLM's last message, perhaps with a code over what was offered.
pub(super) fn last(message: &[u8], code: Option<&[u8]>) -> Vec<u8> {
    let mut fields = [field(0, ENUMERATED, GOES_ON), field(2, OCTETS, message)].concat();
    if let Some(code) = code {
        fields.extend(field(3, OCTETS, code));
    }
    write(RESPONSE, &write(SEQUENCE, &fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_what_others_send() {
        // As pyspnego writes it around a token of four bytes.
        let expected = "602206062b0601050502a0183016a00e300c060a2b06010401823702020aa20404021234";
        assert_eq!(hex::encode(offer(&[0x12, 0x34])), expected);
    }

    #[test]
    fn an_answer_is_read_and_a_cut_one_is_none() {
        let written = last(b"NTLM", Some(&[9; 16]));
        let right = Response { token: Some(b"NTLM"), code: Some(&[9; 16]) };
        assert_eq!(Response::read(&written), Some(right));
        for length in 0..written.len() {
            assert_eq!(Response::read(&written[..length]), None);
        }
        assert_eq!(Response::read(b"NTLMSSP\0"), None);
    }
}
