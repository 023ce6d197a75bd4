//! The acceptor's side of `NTLMv2` ([MS-NLMP]).
//!
//! ```text
//!   NEGOTIATE -> CHALLENGE (8 random bytes, names, time) -> AUTHENTICATE (proof of the password) -> sealing keys
//! ```
//!
//! Refused are: another user or password, `NTLMv1`, no extended session security, a message integrity code that does not hold,
//! a time other than the challenge's by half an hour, and channel bindings of another TLS connection. A client may leave the
//! bindings out, as Windows allows it unless it is hardened.

use std::time::SystemTime;

use md4::{Digest as _, Md4};
use rand::Rng as _;
use rc4::StreamCipher as _;

use super::seal::{NtlmSealing, hmac, rc4};

/// The name of this server.
pub(crate) const COMPUTER: &str = "WINRM-PEER";

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const UNICODE: u32 = 0x1;
const REQUEST_TARGET: u32 = 0x4;
const SIGN: u32 = 0x10;
const SEAL: u32 = 0x20;
const NTLM: u32 = 0x200;
const ALWAYS_SIGN: u32 = 0x8000;
const TARGET_TYPE_SERVER: u32 = 0x2_0000;
const EXTENDED_SESSION_SECURITY: u32 = 0x8_0000;
const TARGET_INFO: u32 = 0x80_0000;
const VERSION: u32 = 0x200_0000;
const KEY_128: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;
const KEY_56: u32 = 0x8000_0000;

/// What is agreed to where a client asks for it.
const MAY: u32 =
    UNICODE | SIGN | SEAL | EXTENDED_SESSION_SECURITY | VERSION | KEY_128 | KEY_EXCHANGE | KEY_56;
/// What is always said.
const MUST: u32 = REQUEST_TARGET | NTLM | ALWAYS_SIGN | TARGET_TYPE_SERVER | TARGET_INFO;

/// Windows Server 2019, NTLM revision 15.
const OS: [u8; 8] = [10, 0, 0x63, 0x45, 0, 0, 0, 15];

/// Pairs of the target's information.
mod pair {
    pub(super) const END: u16 = 0;
    pub(super) const COMPUTER: u16 = 1;
    pub(super) const DOMAIN: u16 = 2;
    pub(super) const DNS_COMPUTER: u16 = 3;
    pub(super) const DNS_DOMAIN: u16 = 4;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIME: u16 = 7;
    pub(super) const BINDINGS: u16 = 10;
}

/// A challenge that was sent.
#[derive(Debug)]
pub(super) struct Ntlm {
    negotiate: Vec<u8>,
    message: Vec<u8>,
    challenge: [u8; 8],
    flags: u32,
    time: u64,
}

/// Whether a message is `AUTHENTICATE`.
pub(super) fn is_last(message: &[u8]) -> bool {
    kind(message) == Some(3)
}

fn kind(message: &[u8]) -> Option<u32> {
    message.starts_with(SIGNATURE).then(|| u32_at(message, 8))?
}

impl Ntlm {
    /// Answers `NEGOTIATE`, by a clock that is so far ahead.
    pub(super) fn challenge(negotiate: &[u8], clock_skew_seconds: i64) -> Option<Self> {
        if kind(negotiate)? != 1 {
            return None;
        }
        let asked = u32_at(negotiate, 12)?;
        if asked & UNICODE == 0 || asked & EXTENDED_SESSION_SECURITY == 0 {
            return None;
        }
        let flags = (asked & MAY) | MUST;
        let challenge = rand::rng().random::<[u8; 8]>();
        let time = file_time(clock_skew_seconds);
        let name = utf16(COMPUTER);
        let mut information = Vec::new();
        for (id, value) in [
            (pair::DOMAIN, name.clone()),
            (pair::COMPUTER, name.clone()),
            (pair::DNS_DOMAIN, utf16(&COMPUTER.to_lowercase())),
            (pair::DNS_COMPUTER, utf16(&COMPUTER.to_lowercase())),
            (pair::TIME, time.to_le_bytes().to_vec()),
            (pair::END, Vec::new()),
        ] {
            information.extend(id.to_le_bytes());
            information.extend(length(&value).to_le_bytes());
            information.extend(value);
        }
        let mut message = SIGNATURE.to_vec();
        message.extend(2_u32.to_le_bytes());
        message.extend(field(&name, 56));
        message.extend(flags.to_le_bytes());
        message.extend(challenge);
        message.extend([0; 8]);
        message.extend(field(&information, 56 + u32::from(length(&name))));
        message.extend(OS);
        message.extend(name);
        message.extend(information);
        Some(Self { negotiate: negotiate.to_vec(), message, challenge, flags, time })
    }

    /// `CHALLENGE`.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// Checks `AUTHENTICATE`; `None` is a refusal.
    pub(super) fn accept(
        &self,
        message: &[u8],
        user: &str,
        password: &str,
        binding: Option<[u8; 16]>,
    ) -> Option<NtlmSealing> {
        if kind(message)? != 3 {
            return None;
        }
        let response = value(message, 20)?;
        let domain = value(message, 28)?;
        let name = String::from_utf16(&units(value(message, 36)?)).ok()?;
        if name.is_empty() || !same_name(&name, user) {
            return None;
        }
        let flags = u32_at(message, 60)? & self.flags;
        let hash = Md4::digest(utf16(password));
        let owner = hmac(&hash, &[&utf16(&name.to_uppercase()), domain]);
        let (proof, claims) = response.split_first_chunk::<16>()?;
        if hmac(&owner, &[&self.challenge, claims]) != *proof {
            return None;
        }
        let said = |id| claims.get(28..).and_then(|pairs| find(pairs, id));
        let time = u64::from_le_bytes(claims.get(8..16)?.try_into().ok()?);
        if time.abs_diff(self.time) > 30 * 60 * 10_000_000 {
            return None;
        }
        if let (Some(right), Some(bindings)) = (binding, said(pair::BINDINGS))
            && bindings != [0; 16]
            && bindings != right
        {
            return None;
        }
        let base = hmac(&owner, &[proof]);
        let key_exchange = flags & KEY_EXCHANGE != 0;
        let key = if key_exchange {
            let mut key: [u8; 16] = value(message, 52)?.try_into().ok()?;
            rc4(&base).apply_keystream(&mut key);
            key
        } else {
            base
        };
        let signed = said(pair::FLAGS).is_some_and(|flags| flags.first().is_some_and(|byte| byte & 2 != 0));
        if signed && !self.whole(message, &key) {
            return None;
        }
        let sealed_by = match flags {
            flags if flags & KEY_128 != 0 => 16,
            flags if flags & KEY_56 != 0 => 7,
            _ => 5,
        };
        Some(NtlmSealing::new(&key, sealed_by, key_exchange))
    }

    /// Whether nobody has changed any of the three messages.
    fn whole(&self, message: &[u8], key: &[u8; 16]) -> bool {
        let mut without = message.to_vec();
        let Some(code) = without.get_mut(72..88) else { return false };
        let told = code.to_vec();
        code.fill(0);
        hmac(key, &[&self.negotiate, &self.message, &without]) == told[..]
    }
}

/// Time as Windows counts it: 100 nanoseconds since 1601.
fn file_time(ahead_seconds: i64) -> u64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ticks = u64::try_from(unix.as_nanos() / 100).unwrap_or_default() + 116_444_736_000_000_000;
    ticks.saturating_add_signed(ahead_seconds.saturating_mul(10_000_000))
}

/// Whether two names are one user's.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one.to_uppercase() == other.to_uppercase()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect()
}

fn length(value: &[u8]) -> u16 {
    u16::try_from(value.len()).unwrap_or(u16::MAX)
}

/// Where a value is in a message.
fn field(value: &[u8], offset: u32) -> [u8; 8] {
    let mut field = [0; 8];
    field[..2].copy_from_slice(&length(value).to_le_bytes());
    field[2..4].copy_from_slice(&length(value).to_le_bytes());
    field[4..].copy_from_slice(&offset.to_le_bytes());
    field
}

fn u32_at(message: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*message.get(offset..)?.first_chunk()?))
}

/// The value that a field of a message tells of.
fn value(message: &[u8], offset: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_le_bytes(*message.get(offset..)?.first_chunk()?));
    let begin = usize::try_from(u32_at(message, offset + 4)?).ok()?;
    message.get(begin..begin.checked_add(length)?)
}

/// A pair of a target's information.
fn find(mut pairs: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (id, rest) = pairs.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        match u16::from_le_bytes(*id) {
            id if id == wanted => return Some(value),
            pair::END => return None,
            _ => pairs = rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [MS-NLMP] 4.2.4: the user, the challenge, and the client's message.
    fn example() -> (Ntlm, Vec<u8>) {
        let claims = [
            &b"\x01\x01\0\0\0\0\0\0"[..],
            &[0; 8],
            &[0xaa; 8],
            &[0; 4],
            &pair::DOMAIN.to_le_bytes(),
            &length(&utf16("Domain")).to_le_bytes(),
            &utf16("Domain"),
            &pair::COMPUTER.to_le_bytes(),
            &length(&utf16("Server")).to_le_bytes(),
            &utf16("Server"),
            &[0; 8],
        ]
        .concat();
        let proof = b"\x68\xcd\x0a\xb8\x51\xe5\x1c\x96\xaa\xbc\x92\x7b\xeb\xef\x6a\x1c";
        let session = b"\xc5\xda\xd2\x54\x4f\xc9\x79\x90\x94\xce\x1c\xe9\x0b\xc9\xd0\x3e";
        let flags = 0xe288_8235_u32;
        let values = [
            vec![],
            [&proof[..], &claims].concat(),
            utf16("Domain"),
            utf16("User"),
            utf16("COMPUTER"),
            session.to_vec(),
        ];
        let mut message = [&SIGNATURE[..], &3_u32.to_le_bytes()].concat();
        let mut offset = 88;
        for value in &values {
            message.extend(field(value, offset));
            offset += u32::from(length(value));
        }
        message.extend(flags.to_le_bytes());
        message.extend([0; 24]);
        message.extend(values.concat());
        let challenge = 0x0123_4567_89ab_cdef_u64.to_be_bytes();
        let ntlm = Ntlm { negotiate: vec![], message: vec![], challenge, flags, time: 0 };
        (ntlm, message)
    }

    #[test]
    fn the_protocols_published_example_is_accepted_and_sealed_by_its_key() {
        let (ntlm, message) = example();
        let mut sealing = ntlm.accept(&message, "user", "Password", None).expect("the right password");
        let sealed = b"\x54\xe5\x01\x65\xbf\x19\x36\xdc\x99\x60\x20\xc1\x81\x1b\x0f\x06\xfb\x5f";
        let signature = b"\x01\0\0\0\x7f\xb3\x8e\xc5\xc5\x5d\x49\x76\0\0\0\0";
        assert_eq!(sealing.open(signature, sealed), Some(utf16("Plaintext")));
    }

    #[test]
    fn another_user_password_time_or_challenge_is_refused() {
        let (ntlm, message) = example();
        assert!(ntlm.accept(&message, "user", "password", None).is_none());
        assert!(ntlm.accept(&message, "users", "Password", None).is_none());
        let late = Ntlm { time: 31 * 60 * 10_000_000, ..example().0 };
        assert!(late.accept(&message, "user", "Password", None).is_none());
        let other = Ntlm { challenge: [1; 8], ..ntlm };
        assert!(other.accept(&message, "user", "Password", None).is_none());
        for end in 0..message.len() {
            assert!(example().0.accept(&message[..end], "user", "Password", None).is_none(), "{end} bytes");
        }
    }
}
