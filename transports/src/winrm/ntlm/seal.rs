//! Sealing: what crosses a connection after the handshake, encrypted and signed, each message by its number.
//!
//! Both directions have a key stream of their own that goes on from message to message, so a message that is lost,
//! repeated or exchanged fails, and with it the connection. That is why a connection has one of these for itself.

use rc4::{Rc4, StreamCipher as _};

use super::super::encrypted::{Form, SPNEGO, Seal};
use super::crypto::{cipher, hmac_md5, md5};

/// The bytes of a signature.
pub(in crate::winrm) const SIGNATURE_BYTES: usize = 16;

const VERSION: [u8; 4] = 1_u32.to_le_bytes();

/// One direction.
struct Stream {
    cipher: Rc4,
    #[cfg(feature = "credssp")]
    sealing: [u8; 16],
    signing: [u8; 16],
    number: u32,
}

impl Stream {
    fn new(key: &[u8; 16], direction: &str) -> Self {
        let derived = |purpose: &str| {
            md5(&[key, format!("session key to {direction} {purpose} key magic constant\0").as_bytes()])
        };
        let sealing = derived("sealing");
        Self {
            cipher: cipher(&sealing),
            #[cfg(feature = "credssp")]
            sealing,
            signing: derived("signing"),
            number: 0,
        }
    }

    /// The code of the next message, over its plain form.
    fn code(&self, plain: &[u8]) -> [u8; 16] {
        hmac_md5(&self.signing, &[&self.number.to_le_bytes(), plain])
    }

    /// The signature of the next message, once it has gone through the key stream.
    fn sign(&mut self, code: [u8; 16]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature[..4].copy_from_slice(&VERSION);
        signature[4..12].copy_from_slice(&code[..8]);
        self.cipher.apply_keystream(&mut signature[4..12]);
        signature[12..].copy_from_slice(&self.number.to_le_bytes());
        self.number = self.number.wrapping_add(1);
        signature
    }

    /// The signature of a text that is not sealed. The key stream begins anew after it, the numbers do not.
    #[cfg(feature = "credssp")]
    fn sign_alone(&mut self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let code = self.code(text);
        let signature = self.sign(code);
        self.cipher = cipher(&self.sealing);
        signature
    }
}

/// Seals what is sent, and opens what comes back.
pub(in crate::winrm) struct Sealer {
    ours: Stream,
    theirs: Stream,
}

impl Sealer {
    /// The client's side.
    pub(in crate::winrm) fn client(key: &[u8; 16]) -> Self {
        Self { ours: Stream::new(key, "client-to-server"), theirs: Stream::new(key, "server-to-client") }
    }

    /// The server's side, to test the client's by.
    #[cfg(test)]
    pub(in crate::winrm) fn server(key: &[u8; 16]) -> Self {
        let Self { ours, theirs } = Self::client(key);
        Self { ours: theirs, theirs: ours }
    }
}

impl Seal for Sealer {
    fn form(&self) -> &'static Form {
        &SPNEGO
    }

    fn seal(&mut self, message: &mut [u8]) -> Option<Vec<u8>> {
        let code = self.ours.code(message);
        self.ours.cipher.apply_keystream(message);
        Some(self.ours.sign(code).into())
    }

    fn open(&mut self, signature: &[u8], message: &mut [u8]) -> bool {
        self.theirs.cipher.apply_keystream(message);
        let code = self.theirs.code(message);
        let expected = self.theirs.sign(code);
        // One attempt a connection, so the time that the comparison takes tells nothing of use.
        signature == expected
    }
}

#[cfg(feature = "credssp")]
impl Sealer {
    /// SPNEGO's code over the list of what it offers, which comes before anything is sealed.
    pub(in crate::winrm) fn sign(&mut self, list: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.ours.sign_alone(list)
    }

    /// Whether this is the other side's code over the same list.
    pub(in crate::winrm) fn signed(&mut self, list: &[u8], code: &[u8]) -> bool {
        self.theirs.sign_alone(list) == code
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("sent", &self.ours.number).finish_non_exhaustive()
    }
}
