//! Whether the certificate that a guest shows is the one that was expected.
//!
//! This is asked within the TLS handshake, before anything secret is sent. A pin is the SHA-256 fingerprint of the
//! certificate, `SHA256:` and 64 hexadecimal digits (with or without colons, as `openssl x509 -fingerprint -sha256` and
//! PowerShell's `GetCertHashString` print them), or the certificate itself in PEM form. A pinned certificate may be
//! self-signed, expired or made for another name: the pin says all of it. With an authority, the usual rules hold.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::{Error, Identity, Result};

const PREFIX: &str = "SHA256:";

/// The parsed form of an [`Identity`], as the TLS library asks it.
#[derive(Debug)]
pub(super) struct Expected {
    provider: Arc<CryptoProvider>,
    rule: Rule,
    /// The name by which the guest's certificate is to be made, where that matters.
    pub(super) name: Option<ServerName<'static>>,
    /// The fingerprint of the certificate that was shown.
    pub(super) shown: OnceLock<String>,
}

#[derive(Debug)]
enum Rule {
    Any,
    OneOf(Vec<String>),
    By(Arc<WebPkiServerVerifier>),
}

impl Expected {
    pub(super) fn new(identity: &Identity, provider: Arc<CryptoProvider>) -> Result<Self> {
        let mut name = None;
        let rule = match identity {
            Identity::TrustOnFirstUse => Rule::Any,
            Identity::Pinned(pins) if pins.is_empty() => {
                return Err(Error::Invalid(
                    "no certificate is pinned: name one, or trust on first use".into(),
                ));
            }
            Identity::Pinned(pins) => Rule::OneOf(pins.iter().map(|pin| pinned(pin)).collect::<Result<_>>()?),
            Identity::CertifiedBy { authority, name: expected } => {
                name = Some(ServerName::try_from(expected.clone()).map_err(|_| {
                    Error::Invalid(format!("{expected:?} is no name that a certificate can be made for"))
                })?);
                Rule::By(authorities(authority, &provider)?)
            }
        };
        Ok(Self { provider, rule, name, shown: OnceLock::new() })
    }

    /// What a person is told of a certificate that was refused.
    pub(super) fn refusal(&self, why: &CertificateError) -> String {
        let shown = self.shown.get().map_or("none that can be read", String::as_str);
        match &self.rule {
            Rule::OneOf(_) => format!("it shows the certificate {shown}, which is none of the pinned"),
            Rule::By(_) => {
                format!(
                    "it shows the certificate {shown}, which is not by the authority, or not for its name ({why:?})"
                )
            }
            Rule::Any => format!("it shows the certificate {shown}, whose key it has not ({why:?})"),
        }
    }
}

/// The fingerprint that a pin stands for.
fn pinned(pin: &str) -> Result<String> {
    if let Some(hex) = pin.trim().strip_prefix(PREFIX) {
        let hex: String = hex.chars().filter(|&c| c != ':').collect::<String>().to_ascii_lowercase();
        if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(format!("{PREFIX}{hex}"));
        }
    } else if let Ok(certificate) = CertificateDer::from_pem_slice(pin.as_bytes()) {
        return Ok(fingerprint(&certificate));
    }
    Err(Error::Invalid(format!(
        "the pin {pin:?} is neither a certificate's fingerprint ({PREFIX} and 64 hexadecimal digits) nor a certificate in \
         PEM form"
    )))
}

fn authorities(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let unfit = |why: String| {
        Error::Invalid(format!("the certificate authority is no certificate in PEM form: {why}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unfit(error.to_string()))?;
        roots.add(certificate).map_err(|error| unfit(error.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unfit(error.to_string()))
}

/// A certificate's fingerprint, in the form of a pin.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    format!("{PREFIX}{}", hex::encode(Sha256::digest(certificate)))
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let fingerprint = self.shown.get_or_init(|| fingerprint(shown));
        match &self.rule {
            Rule::Any => Ok(ServerCertVerified::assertion()),
            Rule::OneOf(pins) if pins.contains(fingerprint) => Ok(ServerCertVerified::assertion()),
            Rule::OneOf(_) => {
                Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Rule::By(authority) => authority.verify_server_cert(shown, between, name, status, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(identity: &Identity) -> Result<Expected> {
        Expected::new(identity, Arc::new(rustls::crypto::ring::default_provider()))
    }

    #[test]
    fn fingerprints_are_read_as_people_print_them() {
        let plain = format!("SHA256:{}", "ab".repeat(32));
        let colons = format!("SHA256:{}", ["AB"; 32].join(":"));
        assert_eq!(pinned(&plain).unwrap(), plain);
        assert_eq!(pinned(&colons).unwrap(), plain);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        for pin in ["nonsense", "SHA256:abc", "ssh-ed25519 AAAA", ""] {
            let text = expected(&Identity::Pinned(vec![pin.into()])).unwrap_err().to_string();
            assert!(text.contains(&format!("{pin:?}")) && text.contains("SHA256:"), "{text}");
        }
        assert!(expected(&Identity::Pinned(Vec::new())).is_err());
        let by = |authority: &str, name: &str| {
            let identity = Identity::CertifiedBy { authority: authority.into(), name: name.into() };
            expected(&identity).unwrap_err().to_string()
        };
        assert!(by("nothing", "host").contains("certificate authority"));
        assert!(by("", "no name").contains("\"no name\""));
    }
}
