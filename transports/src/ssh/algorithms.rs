//! Which algorithms are offered: a safe default, and by name what an old guest needs beyond it.
//!
//! Strict key exchange (against prefix truncation) is always offered. A name that this build cannot speak is
//! [`Error::Invalid`] and the text lists those that it can.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

use crate::{Error, Result};

const SAFE_KEY_EXCHANGES: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
];

const EXTENSIONS: &[kex::Name] =
    &[kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

const SAFE_CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

const SAFE_MACS: &[mac::Name] =
    &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

const LEGACY_KEY_EXCHANGES: &[kex::Name] = &[kex::DH_G14_SHA1, kex::DH_GEX_SHA1, kex::DH_G1_SHA1];
const LEGACY_CIPHERS: &[cipher::Name] =
    &[cipher::AES_128_CBC, cipher::AES_192_CBC, cipher::AES_256_CBC, cipher::TRIPLE_DES_CBC];
const LEGACY_MACS: &[mac::Name] = &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// RSA with SHA-1, for the host's key and for ours.
pub(super) const SSH_RSA: &str = "ssh-rsa";

/// The host key algorithms that are accepted without being asked for.
pub(super) fn safe_host_keys() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

/// What is offered to a guest that needs the `legacy` names. The safe ones always stand first.
pub(super) fn offer(legacy: &[String]) -> Result<Preferred> {
    let mut kex = SAFE_KEY_EXCHANGES.to_vec();
    let mut key = safe_host_keys();
    let mut cipher = SAFE_CIPHERS.to_vec();
    let mut mac = SAFE_MACS.to_vec();
    for name in legacy {
        let known = add(&mut kex, SAFE_KEY_EXCHANGES, LEGACY_KEY_EXCHANGES, name)
            || add(&mut cipher, SAFE_CIPHERS, LEGACY_CIPHERS, name)
            || add(&mut mac, SAFE_MACS, LEGACY_MACS, name)
            || key.iter().any(|algorithm| algorithm.as_str() == name);
        if name == SSH_RSA {
            key.push(Algorithm::Rsa { hash: None });
        } else if !known {
            return Err(Error::Invalid(format!(
                "no algorithm {name:?} here; beyond the safe ones there are: {}",
                legacy_names().join(", ")
            )));
        }
    }
    kex.extend_from_slice(EXTENSIONS);
    Ok(Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        cipher: Cow::Owned(cipher),
        mac: Cow::Owned(mac),
        compression: Cow::Borrowed(&[compression::NONE]),
        host_key_certificates: Cow::Borrowed(&[]),
    })
}

/// The names that a target may ask for, as OpenSSH spells them.
pub fn legacy_names() -> Vec<&'static str> {
    let mut names = vec![SSH_RSA];
    names.extend(LEGACY_KEY_EXCHANGES.iter().map(AsRef::<str>::as_ref));
    names.extend(LEGACY_CIPHERS.iter().map(AsRef::<str>::as_ref));
    names.extend(LEGACY_MACS.iter().map(AsRef::<str>::as_ref));
    names
}

/// Adds the legacy algorithm called `name` to the list; whether there is one of that name at all.
fn add<T: AsRef<str> + Copy + PartialEq>(list: &mut Vec<T>, safe: &[T], legacy: &[T], name: &str) -> bool {
    if let Some(found) = legacy.iter().find(|algorithm| algorithm.as_ref() == name) {
        if !list.contains(found) {
            list.push(*found);
        }
        return true;
    }
    safe.iter().any(|algorithm| algorithm.as_ref() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_algorithms_come_after_the_safe_ones() {
        let offer = offer(&["3des-cbc".into(), "ssh-rsa".into(), "hmac-sha1".into()]).unwrap();
        assert_eq!(offer.cipher.first(), Some(&cipher::AES_128_GCM));
        assert_eq!(offer.cipher.last(), Some(&cipher::TRIPLE_DES_CBC));
        assert_eq!(offer.key.last(), Some(&Algorithm::Rsa { hash: None }));
        assert_eq!(offer.mac.last(), Some(&mac::HMAC_SHA1));
    }

    #[test]
    fn nothing_legacy_is_offered_unasked_and_strict_key_exchange_always() {
        let offer = offer(&[]).unwrap();
        assert!(!offer.key.contains(&Algorithm::Rsa { hash: None }));
        assert!(LEGACY_CIPHERS.iter().all(|name| !offer.cipher.contains(name)));
        assert!(LEGACY_MACS.iter().all(|name| !offer.mac.contains(name)));
        assert!(LEGACY_KEY_EXCHANGES.iter().all(|name| !offer.kex.contains(name)));
        assert!(offer.kex.contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT));
    }

    #[test]
    fn an_unknown_name_lists_what_exists() {
        let text = offer(&["hmac-md5".into()]).unwrap_err().to_string();
        assert!(text.starts_with("no algorithm \"hmac-md5\" here"), "{text}");
        assert!(text.contains("diffie-hellman-group1-sha1") && text.contains("3des-cbc"), "{text}");
    }
}
