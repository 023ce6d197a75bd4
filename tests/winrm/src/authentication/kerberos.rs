//! The acceptor's side of Kerberos, as it is or in SPNEGO, by MIT's library and the keys of its default keytab.
//!
//! Envelopes are sealed as Windows does it: what the library puts before the sealed envelope is the signature (RFC 4121; with AES, so
//! that an envelope keeps its length). A client may leave the channel bindings out, as Windows allows it unless it is hardened.

use libgssapi::context::{SecurityContext as _, ServerCtx};
use libgssapi::util::{GssIov, GssIovType};

/// A ticket that is being shown.
#[derive(Debug)]
pub(super) struct Kerberos(ServerCtx);

impl Default for Kerberos {
    fn default() -> Self {
        Self(ServerCtx::new(None))
    }
}

impl Kerberos {
    /// Takes a token, and answers with the next one; `None` is a refusal.
    pub(super) fn step(&mut self, token: &[u8], binding: Option<&[u8]>) -> Option<Vec<u8>> {
        let answer = self.0.step(token, binding).ok()?;
        Some(answer.map(|answer| answer.to_vec()).unwrap_or_default())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// Who has shown it.
    pub(super) fn whom(&self) -> Option<String> {
        let name = self.0.source_name().ok()?.display_name().ok()?;
        String::from_utf8(name.to_vec()).ok()
    }

    pub(super) fn sealing(self) -> KerberosSealing {
        KerberosSealing(self.0)
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub(crate) struct KerberosSealing(ServerCtx);

impl KerberosSealing {
    pub(super) fn open(&mut self, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (mut header, mut envelope) = (signature.to_vec(), sealed.to_vec());
        let mut parts =
            [GssIov::new(GssIovType::Header, &mut header), GssIov::new(GssIovType::Data, &mut envelope)];
        self.0.unwrap_iov(&mut parts).ok()?;
        Some(parts[1].to_vec())
    }

    pub(super) fn seal(&mut self, envelope: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut sealed = envelope.to_vec();
        let mut parts = [GssIov::new_alloc(GssIovType::Header), GssIov::new(GssIovType::Data, &mut sealed)];
        self.0.wrap_iov(true, &mut parts).expect("a login that was just used seals");
        let signature = parts[0].to_vec();
        drop(parts);
        (signature, sealed)
    }
}
