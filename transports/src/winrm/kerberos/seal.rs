//! Sealing by the key of a ticket (RFC 4121), as Windows has it cross HTTP: what is around the encrypted message comes first.
//!
//! ```text
//!   signature: header (16 bytes) | encrypted: confounder, header once more, checksum        message: as long as it was
//! ```
//!
//! With AES the message keeps its length. RC4 would pad it, and is no longer to be used: a guest that only has such keys is refused
//! by its name. Each message has a number, so one that is lost, repeated or exchanged does not open.

use libgssapi::context::{ClientCtx, SecurityContext as _};
use libgssapi::util::{GssIov, GssIovFake, GssIovType};

use super::super::encrypted::{Form, SPNEGO, Seal};

/// After a login under `Kerberos`.
const KERBEROS: Form = Form {
    protocol: "application/HTTP-Kerberos-session-encrypted",
    content_type: "multipart/encrypted;\
        protocol=\"application/HTTP-Kerberos-session-encrypted\";boundary=\"Encrypted Boundary\"",
};

/// How a header begins that is not one of RC4's.
const WRAPPED: [u8; 2] = [5, 4];

/// The bit of a header's third byte which says that the message is encrypted, and not signed only.
const ENCRYPTED: u8 = 2;

/// Seals what is sent, and opens what comes back.
pub(super) struct Sealer {
    context: ClientCtx,
    form: &'static Form,
}

impl Sealer {
    /// By what a login under one of HTTP's schemes brought.
    pub(super) fn new(mut context: ClientCtx, scheme: &str) -> Result<Self, &'static str> {
        let mut nothing = [0; 0];
        let mut asked =
            [GssIovFake::new(GssIovType::Header), GssIov::new(GssIovType::Data, &mut nothing).as_fake()];
        context.wrap_iov_length(true, &mut asked).map_err(|_| {
            "the domain gives RC4 tickets for the guest, by which messages are not sealed: let its account have AES keys"
        })?;
        Ok(Self { context, form: if scheme == "Kerberos" { &KERBEROS } else { &SPNEGO } })
    }
}

impl Seal for Sealer {
    fn form(&self) -> &'static Form {
        self.form
    }

    fn seal(&mut self, message: &mut [u8]) -> Option<Vec<u8>> {
        let mut parts = [GssIov::new_alloc(GssIovType::Header), GssIov::new(GssIovType::Data, message)];
        self.context.wrap_iov(true, &mut parts).ok()?;
        Some(parts[0].to_vec())
    }

    fn open(&mut self, signature: &[u8], message: &mut [u8]) -> bool {
        if !signature.starts_with(&WRAPPED) || signature.get(2).is_none_or(|flags| flags & ENCRYPTED == 0) {
            return false;
        }
        let (mut header, length) = (signature.to_vec(), message.len());
        let mut parts =
            [GssIov::new(GssIovType::Header, &mut header), GssIov::new(GssIovType::Data, message)];
        self.context.unwrap_iov(&mut parts).is_ok() && parts[1].len() == length
    }
}
