//! A TLS session that crosses HTTP in pieces: what goes out and what comes in are bytes.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, Error, version};

use super::super::certificate::Expected;
use super::key;
use crate::Identity;

/// A session, from before its handshake on.
pub(in crate::winrm) struct Tls(Connection);

impl Tls {
    /// A session whose handshake has not begun, with any certificate: whose it is is proved later, that its key has agreed
    /// on this session is checked.
    pub(super) fn begin(address: IpAddr) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let any = Expected::new(&Identity::TrustOnFirstUse, Arc::clone(&provider));
        let any = any.map_err(|why| Error::General(why.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let client = ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.into()))?;
        Ok(Self(client.into()))
    }

    /// Whether it is not agreed yet what seals.
    pub(super) fn is_shaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// The key that the guest has shown.
    pub(super) fn key(&self) -> Option<&[u8]> {
        key::of(self.0.peer_certificates()?.first()?)
    }

    /// Takes records; answers what was sealed in them.
    pub(super) fn take(&mut self, mut records: &[u8]) -> Result<Vec<u8>, Error> {
        let general = |error: std::io::Error| Error::General(error.to_string());
        let mut plain = Vec::new();
        while !records.is_empty() {
            if self.0.read_tls(&mut records).map_err(general)? == 0 {
                return Err(Error::General("the session was ended".into()));
            }
            let more = self.0.process_new_packets()?.plaintext_bytes_to_read();
            let before = plain.len();
            plain.resize(before + more, 0);
            self.0.reader().read_exact(&mut plain[before..]).map_err(general)?;
        }
        Ok(plain)
    }

    /// The records that seal a message of at most 16 KiB, and whatever the handshake has to say.
    pub(super) fn give(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let general = |error: std::io::Error| Error::General(error.to_string());
        let mut records = Vec::new();
        self.0.writer().write_all(message).map_err(general)?;
        while self.0.wants_write() {
            self.0.write_tls(&mut records).map_err(general)?;
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    impl Tls {
        /// Both sides of a session that is agreed on.
        pub(in super::super) fn pair() -> (Self, Self) {
            let made = rcgen::generate_simple_self_signed(vec!["guest".to_owned()]).unwrap();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
            let mut server = Self(ServerConnection::new(Arc::new(config)).unwrap().into());
            let mut client = Self::begin([192, 0, 2, 7].into()).unwrap();
            while client.is_shaking() {
                server.take(&client.give(&[]).unwrap()).unwrap();
                client.take(&server.give(&[]).unwrap()).unwrap();
            }
            (client, server)
        }
    }

    #[test]
    fn a_session_is_agreed_on_over_pieces_and_its_key_is_known() {
        let (mut client, mut server) = Tls::pair();
        // A point of the curve P-256, not compressed.
        assert_eq!(client.key().map(|key| (key.len(), key[0])), Some((65, 4)));
        let message = vec![7; 16 * 1024];
        let records = client.give(&message).unwrap();
        assert_eq!(records.len(), 5 + 8 + message.len() + 16, "one record");
        assert_eq!(server.take(&records).unwrap(), message);
        let mut changed = server.give(b"yes").unwrap();
        changed[15] ^= 1;
        assert!(client.take(&changed).is_err());
        assert!(server.take(&records).is_err(), "it opens once");
    }
}
