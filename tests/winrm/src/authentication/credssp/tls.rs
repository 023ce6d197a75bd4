//! The server's side of a TLS session that crosses HTTP in pieces: TLS 1.2 by the ciphers that Windows and `rustls` have in
//! common, whose records end in 16 bytes that are not the message's.

use std::io::Write as _;
use std::sync::Arc;

use rustls::ServerConnection;

use super::Key;

/// A session, from the first byte of its handshake on.
pub(crate) struct Tls(Box<ServerConnection>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls([redacted])")
    }
}

impl Tls {
    pub(super) fn begin(key: &Key) -> Option<Self> {
        ServerConnection::new(Arc::clone(&key.config)).ok().map(|connection| Self(Box::new(connection)))
    }

    /// Whether it is not agreed yet what seals.
    pub(super) fn is_shaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Takes records; answers what was sealed in them, or `None` where the client has not sealed it.
    pub(crate) fn take(&mut self, mut records: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        while !records.is_empty() {
            if self.0.read_tls(&mut records).ok()? == 0 {
                return None;
            }
            let there = self.0.process_new_packets().ok()?.plaintext_bytes_to_read();
            let before = plain.len();
            plain.resize(before + there, 0);
            std::io::Read::read_exact(&mut self.0.reader(), &mut plain[before..]).ok()?;
        }
        Some(plain)
    }

    /// The records that seal a message of at most 16 KiB, and all that the handshake has to say.
    pub(crate) fn give(&mut self, message: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        self.0.writer().write_all(message).expect("a message is taken");
        while self.0.wants_write() {
            self.0.write_tls(&mut records).expect("memory takes what is written");
        }
        records
    }
}
