//! `NTLMv2`, the client's side: one handshake for one connection, then sealed messages on it (MS-NLMP).
//!
//! ```text
//!   Handshake::new -> negotiate --challenge of the guest--> authenticate -> Sealer
//! ```
//!
//! Own code, since the one crate that has it (`sspi`) pins pre-release versions of the crates that `russh` is built on,
//! and cannot stand in one tree with it. What stands here is checked by the protocol's published examples.
//!
//! - Happy path: the first message says what we can, the challenge brings the guest's half, the last message proves
//!   that we know the password without telling it. Both sides then hold the same session key, so a sealed answer proves
//!   that the guest knows the password (or asked somebody who does) as well.
//! - The guest's own time is used where the challenge tells it, so clocks that differ do no harm.
//! - A guest that does not agree to extended session security, 128-bit keys and sealing is refused: nothing weaker
//!   than what every Windows since 2008 has is spoken.
//! - A challenge that cannot be understood is refused, never guessed at.

mod challenge;
mod crypto;
mod pairs;
mod seal;

use std::time::SystemTime;

use challenge::Challenge;
use crypto::{hmac_md5, rc4, response_key};
use pairs::Pairs;

pub(super) use crypto::md5;
#[cfg(any(test, feature = "credssp"))]
pub(super) use seal::SIGNATURE_BYTES;
pub(super) use seal::Sealer;

/// What the client asks for and, but for the last two, needs. Unicode, target's name, signing and sealing, NTLM,
/// always sign, extended session security, version, 128 bit, key exchange, 56 bit.
const FLAGS: u32 = UNICODE
    | 0x0000_0004
    | SIGN
    | SEAL
    | 0x0000_0200
    | 0x0000_8000
    | EXTENDED_SECURITY
    | 0x0200_0000
    | STRONG
    | KEY_EXCHANGE
    | 0x8000_0000;
const UNICODE: u32 = 0x0000_0001;
const SIGN: u32 = 0x0000_0010;
const SEAL: u32 = 0x0000_0020;
const EXTENDED_SECURITY: u32 = 0x0008_0000;
const STRONG: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;
const NEEDED: u32 = UNICODE | SIGN | SEAL | EXTENDED_SECURITY | STRONG | KEY_EXCHANGE;

/// Windows 10's version of the protocol, which nobody judges by.
const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Where the message integrity code stands in the last message, and how long it is.
const MIC: std::ops::Range<usize> = 72..88;

/// Seconds between the beginning of Windows' time and Unix's.
const EPOCH_SECONDS: u64 = 11_644_473_600;

/// As whom one logs in.
#[derive(Clone)]
pub(super) struct Account<'a> {
    pub(super) domain: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// What both sides know of the connection and the service beside the account.
#[derive(Debug, Clone, Default)]
pub(super) struct Binding {
    /// The service's name, `HTTP/host`.
    pub(super) service: String,
    /// The hash that binds the login to the TLS connection, where there is one.
    pub(super) channel: Option<[u8; 16]>,
}

/// A handshake that has begun.
pub(super) struct Handshake {
    negotiate: Vec<u8>,
}

/// The random parts of a handshake.
struct Chance {
    challenge: [u8; 8],
    key: [u8; 16],
    now: u64,
}

impl Handshake {
    pub(super) fn new() -> Self {
        let mut negotiate = Vec::with_capacity(40);
        negotiate.extend_from_slice(SIGNATURE);
        negotiate.extend_from_slice(&1_u32.to_le_bytes());
        negotiate.extend_from_slice(&FLAGS.to_le_bytes());
        negotiate.extend_from_slice(&[0; 16]);
        negotiate.extend_from_slice(&VERSION);
        Self { negotiate }
    }

    /// The first message.
    pub(super) fn negotiate(&self) -> &[u8] {
        &self.negotiate
    }

    /// The last message, and what seals the messages after it. An error says what is wrong with the challenge.
    pub(super) fn authenticate(
        &self,
        challenge: &[u8],
        account: &Account<'_>,
        binding: &Binding,
    ) -> Result<(Vec<u8>, Sealer), String> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let chance = Chance {
            challenge: rand::random(),
            key: rand::random(),
            now: (since.as_secs() + EPOCH_SECONDS) * 10_000_000 + u64::from(since.subsec_nanos()) / 100,
        };
        self.answer(challenge, account, binding, &chance)
    }

    fn answer(
        &self,
        message: &[u8],
        account: &Account<'_>,
        binding: &Binding,
        chance: &Chance,
    ) -> Result<(Vec<u8>, Sealer), String> {
        let challenge = Challenge::read(message)?;
        let flags = FLAGS & challenge.flags;
        if flags & NEEDED != NEEDED {
            return Err(format!("it offers no 128-bit sealing (flags {:08x})", challenge.flags));
        }
        let mut pairs = Pairs::read(challenge.target)?;
        let told = pairs.time();
        pairs.bind(binding, told.is_some());

        let key = response_key(account);
        let mut proof = vec![1, 1, 0, 0, 0, 0, 0, 0];
        proof.extend_from_slice(&told.unwrap_or(chance.now).to_le_bytes());
        proof.extend_from_slice(&chance.challenge);
        proof.extend_from_slice(&[0; 4]);
        proof.extend_from_slice(&pairs.write());
        proof.extend_from_slice(&[0; 4]);
        let proven = hmac_md5(&key, &[challenge.server, &proof]);
        let response = [&proven[..], &proof].concat();
        let old_response = if told.is_some() {
            // Only who tells no time judges by this one.
            vec![0; 24]
        } else {
            let hash = hmac_md5(&key, &[challenge.server, &chance.challenge]);
            [&hash[..], &chance.challenge].concat()
        };
        let exchange = hmac_md5(&key, &[&proven]);
        let mut sent_key = chance.key;
        rc4(&exchange, &mut sent_key);

        let mut message_out = layout(
            flags,
            &[&old_response, &response, &utf16(account.domain), &utf16(account.user), &[], &sent_key],
        );
        if told.is_some() {
            let code = hmac_md5(&chance.key, &[&self.negotiate, message, &message_out]);
            message_out[MIC].copy_from_slice(&code);
        }
        Ok((message_out, Sealer::client(&chance.key)))
    }
}

/// Whether a last message has a code by which the guest sees that none of the messages was changed.
#[cfg(feature = "credssp")]
pub(super) fn has_code(message: &[u8]) -> bool {
    message.get(MIC).is_some_and(|code| code != [0; 16])
}

/// The last message, with room for the integrity code.
fn layout(flags: u32, fields: &[&[u8]; 6]) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    message.extend_from_slice(SIGNATURE);
    message.extend_from_slice(&3_u32.to_le_bytes());
    let mut offset = MIC.end;
    for field in fields {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX).to_le_bytes();
        message.extend_from_slice(&length);
        message.extend_from_slice(&length);
        message.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
        offset += field.len();
    }
    message.extend_from_slice(&flags.to_le_bytes());
    message.extend_from_slice(&VERSION);
    message.extend_from_slice(&[0; 16]);
    for field in fields {
        message.extend_from_slice(field);
    }
    message
}

/// A text as the protocol writes it.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests;
