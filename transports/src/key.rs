//! Makes key pairs: a guest's host key, or the key by which a guest is entered.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, key::safe_rng};

use crate::{Error, Result, Secret};

/// A new Ed25519 key pair.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private key in OpenSSH's PEM form, without a passphrase.
    pub private_openssh: Secret,
    /// The public key as one line `ssh-ed25519 AAAA... comment`.
    pub public_openssh: String,
}

/// Makes a key pair from the operating system's randomness. The comment is public.
pub fn generate_key(comment: &str) -> Result<KeyPair> {
    let failed =
        |error: russh::keys::ssh_key::Error| Error::Invalid(format!("no key could be made: {error}"));
    let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public_openssh = key.public_key().to_openssh().map_err(failed)?;
    Ok(KeyPair { private_openssh: Secret::new(private.as_str()), public_openssh })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_belong_together_and_the_private_one_stays_hidden() {
        let pair = generate_key("pod a/b").unwrap();
        let private = PrivateKey::from_openssh(pair.private_openssh.expose()).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), pair.public_openssh);
        assert!(pair.public_openssh.ends_with(" pod a/b"));
        assert!(!format!("{pair:?}").contains("OPENSSH PRIVATE"));
        assert_ne!(generate_key("x").unwrap().public_openssh, generate_key("x").unwrap().public_openssh);
    }
}
