//! What crosses the TLS session: a `TSRequest` each way, and the password in the last of ours.

use super::super::der::SEQUENCE;
use super::super::ntlm::Account;
use super::der::{INTEGER, OCTETS, field, find, inside, write};

/// The version that we speak.
const VERSION: u8 = 6;

/// The kind of credentials that is a password.
const PASSWORD: u8 = 1;

/// What we send.
#[derive(Default)]
pub(super) struct Request<'a> {
    /// One of SPNEGO's.
    pub(super) token: Option<&'a [u8]>,
    /// Credentials, sealed.
    pub(super) credentials: Option<&'a [u8]>,
    /// Our sight of the key, sealed.
    pub(super) key: Option<&'a [u8]>,
    /// What that is bound to.
    pub(super) nonce: Option<&'a [u8]>,
}

impl Request<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut fields = field(0, INTEGER, &[VERSION]);
        if let Some(token) = self.token {
            // A list of lists of one.
            fields.extend(field(1, SEQUENCE, &write(SEQUENCE, &field(0, OCTETS, token))));
        }
        for (number, octets) in [(2, self.credentials), (3, self.key), (5, self.nonce)] {
            fields.extend(octets.map(|octets| field(number, OCTETS, octets)).unwrap_or_default());
        }
        write(SEQUENCE, &fields)
    }
}

/// What the guest answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The version that it speaks.
    pub(super) version: u32,
    pub(super) token: Option<Vec<u8>>,
    /// Its sight of the key, sealed.
    pub(super) key: Option<Vec<u8>>,
    /// Why it refuses.
    pub(super) code: Option<u32>,
}

impl Answer {
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let fields = inside(der, SEQUENCE)?;
        let token = find(fields, 1, SEQUENCE).and_then(|list| find(inside(list, SEQUENCE)?, 0, OCTETS));
        Some(Self {
            version: number(find(fields, 0, INTEGER)?)?,
            token: token.map(<[u8]>::to_vec),
            key: find(fields, 3, OCTETS).map(<[u8]>::to_vec),
            code: find(fields, 4, INTEGER).and_then(number),
        })
    }
}

/// A number of 32 bits, whether the guest counts it with a sign or without one.
fn number(digits: &[u8]) -> Option<u32> {
    let digits = if digits.len() == 5 { digits.strip_prefix(&[0])? } else { digits };
    let fits = (1..=4).contains(&digits.len());
    fits.then(|| digits.iter().fold(0, |number, &digit| number << 8 | u32::from(digit)))
}

/// What the guest is given: whom and by which password.
pub(super) fn credentials(account: &Account<'_>) -> Vec<u8> {
    let text = |number, text| field(number, OCTETS, &super::super::ntlm::utf16(text));
    let password = [text(0, account.domain), text(1, account.user), text(2, account.password)].concat();
    let password = write(SEQUENCE, &password);
    write(SEQUENCE, &[field(0, INTEGER, &[PASSWORD]), field(1, OCTETS, &password)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_others_send() {
        // As pyspnego writes them.
        let first = Request { token: Some(&[7]), ..Request::default() };
        assert_eq!(hex::encode(first.write()), "3010a003020106a10930073005a003040107");
        let proof = Request { key: Some(&[8]), nonce: Some(&[9]), ..Request::default() };
        assert_eq!(hex::encode(proof.write()), "300fa003020106a303040108a503040109");
        let last = Request { credentials: Some(&[8]), ..Request::default() };
        assert_eq!(hex::encode(last.write()), "300aa003020106a203040108");
        let account = Account { domain: "LAB", user: "anna", password: "ä€" };
        assert_eq!(
            hex::encode(credentials(&account)),
            "3029a003020101a1220420301ea00804064c0041004200a10a040861006e006e006100a2060404e400ac20"
        );
    }

    #[test]
    fn answers_are_read_and_cut_ones_are_none() {
        let answer = hex::decode("3015a003020106a10930073005a003040107a303040108").unwrap();
        let right = Answer { version: 6, token: Some(vec![7]), key: Some(vec![8]), code: None };
        assert_eq!(Answer::read(&answer), Some(right));
        for length in 0..answer.len() {
            assert_eq!(Answer::read(&answer[..length]), None);
        }
        for (code, digits) in [(0xc000_006d, "a4060204c000006d"), (0xc000_006d, "a407020500c000006d")] {
            let fields = [field(0, INTEGER, &[3]), hex::decode(digits).unwrap()].concat();
            let read = Answer::read(&write(SEQUENCE, &fields)).unwrap();
            assert_eq!((read.version, read.code), (3, Some(code)));
        }
    }
}
