//! Signing and sealing of messages under NTLM with extended session security ([MS-NLMP] 3.4).
//!
//! Each direction has its keys, its cipher, which runs on from message to message, and its sequence number: a message that is
//! lost, repeated or sent on another connection does not open.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use rc4::{Rc4, StreamCipher as _};

/// `HMAC-MD5` of several pieces.
pub(super) fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 16] {
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { unreachable!("any key is taken") };
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

/// The cipher with a key of 16 bytes.
pub(super) fn rc4(key: &[u8; 16]) -> Rc4 {
    let Ok(cipher) = Rc4::new_from_slice(key) else { unreachable!("a key of 16 bytes is taken") };
    cipher
}

/// One direction.
struct Direction {
    sign: [u8; 16],
    seal: [u8; 16],
    cipher: Rc4,
    sequence: u32,
}

impl Direction {
    fn new(key: &[u8; 16], sealed_by: usize, from: &str) -> Self {
        let derive = |key: &[u8], purpose: &str| -> [u8; 16] {
            let text = format!("session key to {from} {purpose} key magic constant\0");
            Md5::new().chain_update(key).chain_update(text).finalize().into()
        };
        let seal = derive(&key[..sealed_by], "sealing");
        Self { sign: derive(key, "signing"), seal, cipher: rc4(&seal), sequence: 0 }
    }

    /// The next signature; the message has been through the cipher by then.
    fn signature(&mut self, message: &[u8], key_exchange: bool) -> [u8; 16] {
        let sequence = self.sequence.to_le_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        let mut checksum = hmac(&self.sign, &[&sequence, message]);
        if key_exchange {
            self.cipher.apply_keystream(&mut checksum[..8]);
        }
        let mut signature = [0; 16];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&checksum[..8]);
        signature[12..].copy_from_slice(&sequence);
        signature
    }
}

/// Both directions of a connection.
pub(crate) struct NtlmSealing {
    from_client: Direction,
    from_server: Direction,
    key_exchange: bool,
}

impl std::fmt::Debug for NtlmSealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NtlmSealing([redacted])")
    }
}

impl NtlmSealing {
    /// From the exported session key, of which so many bytes go into the sealing keys.
    pub(super) fn new(key: &[u8; 16], sealed_by: usize, key_exchange: bool) -> Self {
        Self {
            from_client: Direction::new(key, sealed_by, "client-to-server"),
            from_server: Direction::new(key, sealed_by, "server-to-client"),
            key_exchange,
        }
    }

    /// Opens a message of the client; `None` if the signature does not hold.
    pub(super) fn open(&mut self, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut message = sealed.to_vec();
        self.from_client.cipher.apply_keystream(&mut message);
        let right = self.from_client.signature(&message, self.key_exchange);
        (right == signature).then_some(message)
    }

    /// Seals a message for the client; answers signature and sealed message.
    pub(super) fn seal(&mut self, message: &[u8]) -> ([u8; 16], Vec<u8>) {
        let mut sealed = message.to_vec();
        self.from_server.cipher.apply_keystream(&mut sealed);
        (self.from_server.signature(message, self.key_exchange), sealed)
    }

    /// Checks SPNEGO's signature of the list of mechanisms, and answers with the same. Ciphers begin anew after it, sequence
    /// numbers do not.
    pub(super) fn exchange_mic(&mut self, mechanisms: &[u8], mic: &[u8]) -> Option<[u8; 16]> {
        let right = self.from_client.signature(mechanisms, self.key_exchange);
        let answer = self.from_server.signature(mechanisms, self.key_exchange);
        for direction in [&mut self.from_client, &mut self.from_server] {
            direction.cipher = rc4(&direction.seal);
        }
        (right == mic).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_published_example_opens_and_nothing_else() {
        // [MS-NLMP] 4.2.4.4: session key, sealed message and signature.
        let key = [0x55; 16];
        let sealed = b"\x54\xe5\x01\x65\xbf\x19\x36\xdc\x99\x60\x20\xc1\x81\x1b\x0f\x06\xfb\x5f";
        let signature = b"\x01\0\0\0\x7f\xb3\x8e\xc5\xc5\x5d\x49\x76\0\0\0\0";
        let plain: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut sealing = NtlmSealing::new(&key, 16, true);
        assert_eq!(sealing.open(signature, sealed), Some(plain));
        assert_eq!(sealing.open(signature, sealed), None, "it opens once");
        let mut changed = *sealed;
        changed[3] ^= 1;
        assert_eq!(NtlmSealing::new(&key, 16, true).open(signature, &changed), None);
        assert_eq!(NtlmSealing::new(&[0x56; 16], 16, true).open(signature, sealed), None);
    }
}
