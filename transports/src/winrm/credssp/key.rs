//! The key that TLS has shown, and each side's sight of it.

use sha2::{Digest as _, Sha256};

use super::super::der::{SEQUENCE, element};
use super::der::{BITS, inside};

/// The number of a certificate's version, which one of the first version does not have.
const VERSION: u8 = 0xa0;

/// Whose sight it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    /// Ours.
    Client,
    /// The guest's.
    Server,
}

/// What this side sees, bound to a nonce.
pub(super) fn seen(side: Side, nonce: &[u8; 32], key: &[u8]) -> [u8; 32] {
    let direction = match side {
        Side::Client => "Client-To-Server",
        Side::Server => "Server-To-Client",
    };
    let digest = Sha256::new().chain_update(format!("CredSSP {direction} Binding Hash\0"));
    digest.chain_update(nonce).chain_update(key).finalize().into()
}

/// The public key in a certificate: the bits themselves, without what says of which algorithm they are.
pub(super) fn of(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = inside(inside(certificate, SEQUENCE)?, SEQUENCE)?;
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    // Serial number, algorithm, issuer, validity and subject.
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let (_, _, bits) = element(inside(fields, SEQUENCE)?)?;
    // The first octet says how many bits of the last one are none of the key's.
    inside(bits, BITS)?.strip_prefix(&[0])
}

#[cfg(test)]
mod tests {
    use super::super::der::{INTEGER, field, write};
    use super::*;

    /// The frame of a certificate with this key.
    fn certificate(version: &[u8], key: &[u8]) -> Vec<u8> {
        let algorithm = write(SEQUENCE, &[6, 1, 42]);
        let info = write(SEQUENCE, &[algorithm.clone(), write(BITS, &[&[0], key].concat())].concat());
        let other = write(SEQUENCE, &[7; 20]);
        let body = [version, &write(INTEGER, &[1]), &algorithm, &other, &other, &other, &info].concat();
        write(SEQUENCE, &[write(SEQUENCE, &body), algorithm, write(BITS, &[0, 9])].concat())
    }

    #[test]
    fn the_key_of_a_certificate_is_found_and_a_malformed_one_is_none() {
        for version in [field(0, INTEGER, &[2]), Vec::new()] {
            let whole = certificate(&version, &[5; 270]);
            assert_eq!(of(&whole), Some(&[5; 270][..]));
            for length in 0..whole.len() {
                assert_eq!(of(&whole[..length]), None, "{length} bytes");
            }
        }
    }

    #[test]
    fn both_sides_see_the_same_in_words_of_their_own() {
        let seen = |side, nonce: u8, key: u8| seen(side, &[nonce; 32], &[key]);
        // By sha256sum of the words, a zero, the nonce and the key.
        assert_eq!(
            hex::encode(seen(Side::Client, 1, 2)),
            "270fabe7d74c49cc9347526f83fac40aab2ab4d1b34d12d0f38d5aa5847d0400"
        );
        assert_eq!(
            hex::encode(seen(Side::Server, 1, 2)),
            "2df53939b5b4838213f12511568d9ec9f54f8d646f2d5a8951f0c8ac0da0581c"
        );
        assert_ne!(seen(Side::Client, 1, 2), seen(Side::Client, 2, 2));
        assert_ne!(seen(Side::Client, 1, 2), seen(Side::Client, 1, 3));
    }
}
