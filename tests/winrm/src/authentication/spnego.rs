//! SPNEGO (RFC 4178) around NTLM.

use super::der::{OCTETS, SEQUENCE, context, element, inside, write};

/// NTLM, 1.3.6.1.4.1.311.2.2.10.
const NTLM: &[u8] = &[0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A];
/// Kerberos, 1.2.840.113554.1.2.2, and what Windows called it by mistake, 1.2.840.48018.1.2.2.
#[cfg(feature = "kerberos")]
const KERBEROS: [&[u8]; 2] = [
    &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02],
    &[0x2A, 0x86, 0x48, 0x82, 0xF7, 0x12, 0x01, 0x02, 0x02],
];
/// SPNEGO itself, 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x02];

const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0A;
const APPLICATION: u8 = 0x60;

/// What a client sent.
#[derive(Debug)]
pub(super) enum Token<'a> {
    /// NTLM as it is.
    Ntlm(&'a [u8]),
    /// The beginning.
    Init {
        /// The list of mechanisms, as DER.
        mechanisms: &'a [u8],
        /// Whether the token is NTLM's.
        ntlm_first: bool,
        token: Option<&'a [u8]>,
    },
    /// What follows.
    Response { token: Option<&'a [u8]>, mic: Option<&'a [u8]> },
}

/// What a server says of the negotiation.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    Completed = 0,
    Incomplete = 1,
    RequestMic = 3,
}

impl<'a> Token<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? {
            b'N' => Some(Self::Ntlm(bytes)),
            &APPLICATION => {
                let (_, inner, _) = element(bytes)?;
                let (OID, SPNEGO, inner) = element(inner)? else { return None };
                let fields = inside(context(inner, 0)?, SEQUENCE)?;
                let mechanisms = context(fields, 0)?;
                Some(Self::Init {
                    mechanisms,
                    ntlm_first: inside(mechanisms, SEQUENCE)?.starts_with(NTLM),
                    token: context(fields, 2).and_then(|token| inside(token, OCTETS)),
                })
            }
            _ => {
                let fields = inside(context(bytes, 1)?, SEQUENCE)?;
                let octets = |number| context(fields, number).and_then(|value| inside(value, OCTETS));
                Some(Self::Response { token: octets(2), mic: octets(3) })
            }
        }
    }
}

/// Whether NTLM is in a list of mechanisms.
pub(super) fn offers_ntlm(mechanisms: &[u8]) -> bool {
    let mut rest = inside(mechanisms, SEQUENCE).unwrap_or_default();
    while let Some((tag, value, after)) = element(rest) {
        if tag == OID && value == &NTLM[2..] {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a client's first token is Kerberos', as it is or as the first of what SPNEGO has.
#[cfg(feature = "kerberos")]
pub(super) fn is_kerberos(token: &[u8]) -> bool {
    let named = |bytes| element(bytes).is_some_and(|(tag, value, _)| tag == OID && KERBEROS.contains(&value));
    inside(token, APPLICATION).is_some_and(named)
        || matches!(Token::read(token), Some(Token::Init { mechanisms, .. }) if inside(mechanisms, SEQUENCE).is_some_and(named))
}

/// A response, which names NTLM where it is the first.
pub(super) fn respond(state: State, names_ntlm: bool, token: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
    let mut fields = write(0xA0, &write(ENUMERATED, &[state as u8]));
    if names_ntlm {
        fields.extend(write(0xA1, NTLM));
    }
    if let Some(token) = token {
        fields.extend(write(0xA2, &write(OCTETS, token)));
    }
    if let Some(mic) = mic {
        fields.extend(write(0xA3, &write(OCTETS, mic)));
    }
    write(0xA1, &write(SEQUENCE, &fields))
}
