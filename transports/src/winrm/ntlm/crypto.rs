//! The few old algorithms that the protocol is made of.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::Md4;
use md5::{Digest as _, Md5};
use rc4::{Rc4, StreamCipher as _};

use super::{Account, utf16};

/// HMAC-MD5 over the parts, one after the other.
pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// MD5 over the parts, one after the other.
pub(in crate::winrm) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// RC4 over a single short piece.
pub(super) fn rc4(key: &[u8; 16], data: &mut [u8]) {
    cipher(key).apply_keystream(data);
}

/// RC4 that goes on from message to message.
pub(super) fn cipher(key: &[u8; 16]) -> Rc4 {
    Rc4::new_from_slice(key).expect("16 bytes are a key")
}

/// The key by which a user's answers are made: `NTOWFv2`.
pub(super) fn response_key(account: &Account<'_>) -> [u8; 16] {
    let password: [u8; 16] = Md4::digest(utf16(account.password)).into();
    hmac_md5(&password, &[&utf16(&account.user.to_uppercase()), &utf16(account.domain)])
}
