//! Whether the host key that a server proved to hold is the one that was expected.
//!
//! This is asked during the key exchange, before the first secret is sent. Pinned is a public key in OpenSSH's text
//! form or a fingerprint `SHA256:...`; a malformed pin is [`Error::Invalid`] before anything is dialled.

use russh::keys::{Algorithm, HashAlg, PublicKey};

use crate::{Error, Identity, Result};

/// The parsed form of an [`Identity`].
#[derive(Debug, Clone)]
pub(super) struct Expected {
    keys: Vec<PublicKey>,
    fingerprints: Vec<String>,
    any: bool,
}

impl Expected {
    pub(super) fn new(identity: &Identity) -> Result<Self> {
        let mut expected = Self { keys: Vec::new(), fingerprints: Vec::new(), any: false };
        match identity {
            Identity::TrustOnFirstUse => expected.any = true,
            Identity::CertifiedBy { .. } => {
                return Err(Error::Invalid(
                    "SSH shows a key and no certificate: pin the host key, or trust on first use".into(),
                ));
            }
            Identity::Pinned(pins) => {
                for pin in pins {
                    if pin.starts_with("SHA256:") {
                        expected.fingerprints.push(pin.trim_end_matches('=').to_owned());
                    } else {
                        let key = PublicKey::from_openssh(pin.trim()).map_err(|error| {
                            Error::Invalid(format!(
                                "the pinned host key {pin:?} is neither an OpenSSH public key ({error}) nor a \
                                 fingerprint SHA256:..."
                            ))
                        })?;
                        expected.keys.push(key);
                    }
                }
                if pins.is_empty() {
                    return Err(Error::Invalid(
                        "no host key is pinned: name one, or trust on first use".into(),
                    ));
                }
            }
        }
        Ok(expected)
    }

    /// Whether the key is one of the expected.
    pub(super) fn accepts(&self, key: &PublicKey) -> bool {
        self.any
            || self.keys.iter().any(|pinned| pinned.key_data() == key.key_data())
            || self.fingerprints.contains(&fingerprint(key))
    }

    /// Puts the algorithms of the pinned keys first, so that a server with several host keys shows the pinned one.
    pub(super) fn prefer(&self, algorithms: &mut [Algorithm]) {
        algorithms.sort_by_key(|algorithm| {
            !self.keys.iter().any(|key| family(&key.algorithm()) == family(algorithm))
        });
    }

    /// Whether another of the server's host keys may be the expected one although the one it showed is not: a
    /// fingerprint does not tell of what kind its key is.
    pub(super) fn may_be_another_kind(&self) -> bool {
        !self.fingerprints.is_empty()
    }
}

/// The kind of a key, whatever hash it is used with.
pub(super) fn family(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// `SHA256:...`, as OpenSSH prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC6ns0QRd47sJZ1tlpOmXZCPRoqXGfPDlABSpMxgK2Nc a comment";

    #[test]
    fn a_key_is_known_by_its_text_and_by_its_fingerprint() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let other = PublicKey::from_openssh(&crate::generate_key("other").unwrap().public_openssh).unwrap();
        for pin in [KEY.to_owned(), fingerprint(&key)] {
            let expected = Expected::new(&Identity::Pinned(vec![pin])).unwrap();
            assert!(expected.accepts(&key));
            assert!(!expected.accepts(&other));
        }
        assert!(Expected::new(&Identity::TrustOnFirstUse).unwrap().accepts(&other));
    }

    #[test]
    fn a_malformed_pin_is_refused() {
        let text = Expected::new(&Identity::Pinned(vec!["nonsense".into()])).unwrap_err().to_string();
        assert!(text.contains("\"nonsense\"") && text.contains("SHA256:"), "{text}");
        assert!(Expected::new(&Identity::Pinned(Vec::new())).is_err());
    }
}
