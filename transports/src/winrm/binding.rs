//! What a login is bound to on a TLS connection, so that nobody between can pass it on: the certificate that was shown
//! (RFC 5929, `tls-server-end-point`). Kerberos is given that as it is, NTLM a hash around it.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::der::{OBJECT, SEQUENCE, element};
use super::ntlm::md5;

/// The algorithms, by object identifier, whose signatures are made over SHA-384 (by RSA, by ECDSA).
const OVER_SHA384: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
];

/// The same over SHA-512.
const OVER_SHA512: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
];

/// What binds a login to the connection on which this certificate was shown.
pub(super) fn to_certificate(certificate: &[u8]) -> Vec<u8> {
    let algorithm = signed_by(certificate).unwrap_or_default();
    let hash = if OVER_SHA384.contains(&algorithm) {
        Sha384::digest(certificate).to_vec()
    } else if OVER_SHA512.contains(&algorithm) {
        Sha512::digest(certificate).to_vec()
    } else {
        // Also where the certificate's own hash is a weaker one.
        Sha256::digest(certificate).to_vec()
    };
    [b"tls-server-end-point:", &hash[..]].concat()
}

/// The same as the hash of a `gss_channel_bindings_struct`.
pub(super) fn hash(told: &[u8]) -> [u8; 16] {
    // No addresses (two kinds and lengths each), then what the application adds.
    let length = u32::try_from(told.len()).unwrap_or_default().to_le_bytes();
    md5(&[&[0; 16], &length, told])
}

/// The object identifier of the algorithm that a certificate is signed by.
fn signed_by(certificate: &[u8]) -> Option<&[u8]> {
    let (SEQUENCE, whole, _) = element(certificate)? else { return None };
    let (SEQUENCE, _, after_body) = element(whole)? else { return None };
    let (SEQUENCE, algorithm, _) = element(after_body)? else { return None };
    let (OBJECT, identifier, _) = element(algorithm)? else { return None };
    Some(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame of a certificate that is signed by this algorithm.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let identifier = [&[OBJECT, u8::try_from(algorithm.len()).unwrap()], algorithm].concat();
        let algorithm = [&[SEQUENCE, u8::try_from(identifier.len()).unwrap()], &identifier[..]].concat();
        let body = [&[SEQUENCE, 0x81, 200][..], &[7; 200]].concat();
        let whole = [body, algorithm, vec![3, 1, 0]].concat();
        let length = u16::try_from(whole.len()).unwrap().to_be_bytes();
        [&[SEQUENCE, 0x82, length[0], length[1]], &whole[..]].concat()
    }

    #[test]
    fn the_hash_follows_the_signatures() {
        let strong = certificate(OVER_SHA384[0]);
        assert_eq!(signed_by(&strong), Some(OVER_SHA384[0]));
        let told = [b"tls-server-end-point:", &Sha384::digest(&strong)[..]].concat();
        assert_eq!(to_certificate(&strong), told);
        assert_eq!(hash(&told), md5(&[&[0; 16], &[69, 0, 0, 0], &told]));
        assert_ne!(to_certificate(&certificate(OVER_SHA512[0])), to_certificate(&strong));
    }

    #[test]
    fn a_malformed_certificate_does_no_harm() {
        let whole = certificate(OVER_SHA384[0]);
        for length in 0..whole.len() {
            assert!(signed_by(&whole[..length]).is_none());
        }
        to_certificate(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
    }
}
