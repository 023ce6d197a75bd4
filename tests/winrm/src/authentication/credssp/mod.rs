//! The acceptor's side of `CredSSP` ([MS-CSSP]), which ends with the client's password in our hands.
//!
//! ```text
//!   TLS handshake -> NTLM, perhaps in SPNEGO -> the key that TLS has shown, sealed by NTLM, both ways -> the password, sealed
//! ```
//!
//! Each step is a token; after the handshake it holds a `TSRequest` as records of TLS, whose session seals envelopes in the end.
//!
//! Refused are: another user or password, a key that is not ours (somebody between shows his own), no nonce from version 5
//! on, and a password handed over that is not the one that was proved. Versions 3, 4 and 6 on say why by a code, the others by
//! nothing, as Windows does. Which codes those are is assumed but for the first.
//!
//! [MS-CSSP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-cssp

mod key;
mod request;
mod tls;

pub(crate) use key::Key;
pub(crate) use tls::Tls;

use sha2::{Digest as _, Sha256};

use super::Authentication;
use crate::options::{Between, Scheme};
use crate::server::Shared;
use request::{Credentials, Request};

/// `STATUS_LOGON_FAILURE`.
const LOGON_FAILURE: u32 = 0xC000_006D;
/// `SEC_E_MESSAGE_ALTERED`.
const ALTERED: u32 = 0x8009_030F;

/// From this version on keys are shown by a hash, with a nonce of the client's.
const HASHED: u32 = 5;

/// A handshake on its way.
#[derive(Debug)]
pub(super) struct CredSsp {
    tls: Tls,
    /// What goes on inside.
    inner: Box<Authentication>,
    /// Both sides have shown that they see the same key.
    key_is_right: bool,
}

/// What comes of a token.
pub(super) enum Outcome {
    /// This is to be answered.
    Answer(Vec<u8>),
    /// The client is known, and envelopes may be sealed by this.
    Known(Tls),
    /// A refusal, perhaps with words.
    Refused(Option<Vec<u8>>),
}

impl CredSsp {
    pub(super) fn begin(key: &Key) -> Option<Self> {
        Some(Self { tls: Tls::begin(key)?, inner: Box::default(), key_is_right: false })
    }

    /// Takes a token; answers what goes on, and what comes of it, or `None` where it is none.
    pub(super) fn take(mut self, token: &[u8], shared: &Shared) -> Option<(Option<Self>, Outcome)> {
        let shaking = self.tls.is_shaking();
        let plain = self.tls.take(token)?;
        if shaking {
            let answer = self.tls.give(&[]);
            return Some((Some(self), Outcome::Answer(answer)));
        }
        let request = Request::read(&plain)?;
        let version = request.version.min(shared.options.credssp.version);
        match self.request(&request, version, shared) {
            Ok(Some(answer)) => {
                let answer = self.tls.give(&answer.write(shared.options.credssp.version));
                Some((Some(self), Outcome::Answer(answer)))
            }
            Ok(None) => Some((None, Outcome::Known(self.tls))),
            Err(code) if matches!(version, 3 | 4 | 6..) => {
                let answer = Request { code: Some(code), ..Request::default() };
                let answer = self.tls.give(&answer.write(shared.options.credssp.version));
                Some((None, Outcome::Refused(Some(answer))))
            }
            Err(_) => Some((None, Outcome::Refused(None))),
        }
    }

    /// Carries a request out. No answer where it was the last one; an error is the code of the refusal.
    fn request(&mut self, request: &Request, version: u32, shared: &Shared) -> Result<Option<Request>, u32> {
        let mut answer = Request::default();
        if let Some(token) = &request.token {
            let (token, _) = self.inner.step(Scheme::Ntlm, token, shared).ok_or(LOGON_FAILURE)?;
            answer.token = Some(token).filter(|token| !token.is_empty());
        }
        if let Some(sealed) = &request.key {
            let theirs = self.open(sealed).ok_or(ALTERED)?;
            answer.key = Some(self.key(&theirs, request.nonce.as_deref(), version, shared).ok_or(ALTERED)?);
            self.key_is_right = true;
        } else if let Some(sealed) = request.credentials.as_ref().filter(|_| self.key_is_right) {
            let plain = self.open(sealed).ok_or(ALTERED)?;
            let Credentials { user, password, .. } = Credentials::read(&plain).ok_or(ALTERED)?;
            shared.counting.change(|counters| counters.passwords_received += 1);
            let options = &shared.options;
            let right = super::ntlm::same_name(&user, &options.user) && password == options.password;
            return if right { Ok(None) } else { Err(LOGON_FAILURE) };
        }
        Ok(Some(answer))
    }

    /// What of NTLM's is sealed.
    fn open(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (signature, sealed) = sealed.split_at_checked(16)?;
        self.inner.sealing()?.open(signature, sealed)
    }

    /// Our own sight of the key, sealed, where theirs is right.
    fn key(&mut self, theirs: &[u8], nonce: Option<&[u8]>, version: u32, shared: &Shared) -> Option<Vec<u8>> {
        let key = shared.key.as_ref()?.proved();
        let (right, ours) = if version >= HASHED {
            let nonce = nonce.filter(|nonce| nonce.len() == 32)?;
            let hash = |from: &str| {
                let text = format!("CredSSP {from} Binding Hash\0");
                Sha256::new().chain_update(text).chain_update(nonce).chain_update(key).finalize().to_vec()
            };
            (hash("Client-To-Server"), hash("Server-To-Client"))
        } else {
            let mut next = key.to_vec();
            let first = next.first_mut()?;
            *first = first.wrapping_add(1);
            (key.to_vec(), next)
        };
        if theirs != right && shared.options.credssp.between != Some(Between::Believed) {
            return None;
        }
        let (signature, sealed) = self.inner.sealing()?.seal(&ours);
        Some([&signature[..], &sealed].concat())
    }
}
