//! What crosses the TLS session: `TSRequest` and, sealed in its last one, `TSCredentials`.

use super::super::der::{INTEGER, OCTETS, SEQUENCE, context, field, inside, write};

/// The kind of credentials that is a password.
const PASSWORD: &[u8] = &[1];

/// A `TSRequest`, of either side.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) version: u32,
    /// One of SPNEGO's or NTLM's.
    pub(super) token: Option<Vec<u8>>,
    /// The credentials, sealed.
    pub(super) credentials: Option<Vec<u8>>,
    /// What the sender sees of the key, sealed.
    pub(super) key: Option<Vec<u8>>,
    /// Why the server refuses.
    pub(super) code: Option<u32>,
    pub(super) nonce: Option<Vec<u8>>,
}

impl Request {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let fields = inside(bytes, SEQUENCE)?;
        let octets = |number| context(fields, number).and_then(|value| inside(value, OCTETS));
        let &[version] = inside(context(fields, 0)?, INTEGER)? else { return None };
        let token = match context(fields, 1) {
            // A list of lists of one.
            Some(tokens) => {
                let token = inside(inside(tokens, SEQUENCE)?, SEQUENCE)?;
                Some(inside(context(token, 0)?, OCTETS)?.to_vec())
            }
            None => None,
        };
        Some(Self {
            version: version.into(),
            token,
            credentials: octets(2).map(<[u8]>::to_vec),
            key: octets(3).map(<[u8]>::to_vec),
            code: None,
            nonce: octets(5).map(<[u8]>::to_vec),
        })
    }

    /// Writes it, in this version.
    pub(super) fn write(&self, version: u32) -> Vec<u8> {
        let mut fields = field(0, INTEGER, &[u8::try_from(version).unwrap_or(u8::MAX)]);
        if let Some(token) = &self.token {
            let token = write(SEQUENCE, &field(0, OCTETS, token));
            fields.extend(field(1, SEQUENCE, &token));
        }
        if let Some(key) = &self.key {
            fields.extend(field(3, OCTETS, key));
        }
        if let Some(code) = self.code {
            // With its sign, as Windows counts them.
            fields.extend(field(4, INTEGER, &code.to_be_bytes()));
        }
        write(SEQUENCE, &fields)
    }
}

/// `TSPasswordCreds`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) domain: String,
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads `TSCredentials`, which have to be a password.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let fields = inside(bytes, SEQUENCE)?;
        if inside(context(fields, 0)?, INTEGER)? != PASSWORD {
            return None;
        }
        let fields = inside(inside(context(fields, 1)?, OCTETS)?, SEQUENCE)?;
        let text = |number| {
            let units = inside(context(fields, number)?, OCTETS)?;
            let units: Vec<u16> = units.as_chunks().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
            String::from_utf16(&units).ok()
        };
        Some(Self { domain: text(0)?, user: text(1)?, password: text(2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_none() {
        let request = Request { token: Some(vec![7; 300]), key: Some(vec![8; 200]), ..Request::default() };
        let written = request.write(6);
        let read = Request::read(&written).unwrap();
        assert_eq!((read.version, read.token, read.key), (6, request.token, request.key));
        for length in 0..written.len() {
            assert!(Request::read(&written[..length]).is_none(), "{length} bytes");
        }
        let text = |number, text: &str| {
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            field(number, OCTETS, &units)
        };
        let password = write(SEQUENCE, &[text(0, "LAB"), text(1, "anna"), text(2, "ä€")].concat());
        let fields = |kind| [field(0, INTEGER, &[kind]), field(1, OCTETS, &password)].concat();
        let right = Credentials { domain: "LAB".into(), user: "anna".into(), password: "ä€".into() };
        assert_eq!(Credentials::read(&write(SEQUENCE, &fields(1))), Some(right));
        assert_eq!(Credentials::read(&write(SEQUENCE, &fields(2))), None, "a smart card");
    }
}
