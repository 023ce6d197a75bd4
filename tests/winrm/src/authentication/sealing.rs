//! What envelopes on a connection are sealed with: that of the way in which its client logged in.

#[cfg(feature = "kerberos")]
use super::kerberos::KerberosSealing;
use super::seal::NtlmSealing;
#[cfg(feature = "kerberos")]
use crate::options::Scheme;

/// What seals and opens the envelopes of a connection, in their order.
#[derive(Debug)]
pub(crate) enum Sealing {
    Ntlm(Box<NtlmSealing>),
    #[cfg(feature = "kerberos")]
    Kerberos(KerberosSealing, Scheme),
}

impl Sealing {
    /// What HTTP calls it: after the scheme of the login, whatever that came to ([MS-WSMV] 2.2.9.1).
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            #[cfg(feature = "kerberos")]
            Self::Kerberos(_, Scheme::Kerberos) => "application/HTTP-Kerberos-session-encrypted",
            _ => "application/HTTP-SPNEGO-session-encrypted",
        }
    }

    /// Opens an envelope of the client; `None` if the signature does not hold.
    pub(crate) fn open(&mut self, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ntlm(sealing) => sealing.open(signature, sealed),
            #[cfg(feature = "kerberos")]
            Self::Kerberos(sealing, _) => sealing.open(signature, sealed),
        }
    }

    /// Seals an envelope for the client; answers signature and sealed envelope.
    pub(crate) fn seal(&mut self, envelope: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Ntlm(sealing) => {
                let (signature, sealed) = sealing.seal(envelope);
                (signature.into(), sealed)
            }
            #[cfg(feature = "kerberos")]
            Self::Kerberos(sealing, _) => sealing.seal(envelope),
        }
    }
}
