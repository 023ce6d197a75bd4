//! `CredSSP` (MS-CSSP): a login after which the guest has the password itself, so that what runs there can log in further.
//!
//! ```text
//!   begin -> TLS is shaken, a flight in each token of HTTP          (tls)
//!         -> NTLM in it: negotiate, challenge, authenticate         (request, spnego)
//!         -> both sides' sight of the key that TLS has shown        (key)
//!         -> the password, sealed by NTLM in TLS                    (request)
//!         -> over HTTP messages are sealed by the TLS session       (pieces)
//! ```
//!
//! - Happy path: five requests without a message, the last of which is let in.
//! - The certificate of this TLS session proves nothing: a guest makes it for itself. What proves the guest is that it knows
//!   the password and says so of this very key, sealed by NTLM. Nobody between has a session with the same key on both sides;
//!   so the password goes only where both is seen. Then it is the guest's.
//! - Versions before 5 show the key in a form that somebody between can use (CVE-2018-0886). They are refused. Windows of
//!   every kind has had the newer ones since the updates of May 2018.
//! - TLS 1.2 alone is spoken, by ciphers that have a place in `rustls`: Windows has them for the RSA key of `CredSSP` from Windows 10
//!   and Server 2016 on. An older guest is [`Error::Invalid`](crate::Error::Invalid), with the remedy.
//! - Failures: a guest that refuses the password ([`Error::Refused`](crate::Error::Refused), with its code where it tells one),
//!   another key than the one that was shown ([`Error::WrongIdentity`](crate::Error::WrongIdentity)), and what makes no sense or is
//!   cut ([`Error::Unreachable`](crate::Error::Unreachable)).

mod der;
mod key;
mod login;
mod pieces;
mod request;
mod spnego;
mod tls;

pub(super) use pieces::{unwrap, wrap};
pub(super) use tls::Tls;
