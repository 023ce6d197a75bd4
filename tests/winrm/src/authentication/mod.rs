//! Who is at the other end of a connection.
//!
//! ```text
//!   unknown --Negotiate: NTLM--> challenged --right--> known, until the connection ends
//!      |                              `-----wrong----> unknown
//!      |-----Negotiate, Kerberos: a ticket----------> known, until the connection ends
//!      |-----Basic, right----> known for this request
//!      `-----CredSSP: TLS, NTLM in it, the key, the password--> known, until the connection ends
//! ```
//!
//! NTLM is our own acceptor instead of the crate `sspi`'s, whose challenge takes its time from the clock (a test here sets
//! another), names no target, and repeats whatever flags a client sets; and a client of ours that is built on `sspi` would be
//! held against itself. Kerberos is MIT's library, here as in the transport: what proves the server is Python's clients.

mod credssp;
mod der;
#[cfg(feature = "kerberos")]
mod kerberos;
mod ntlm;
mod seal;
mod sealing;
mod spnego;

pub(crate) use credssp::{Key, Tls};
pub(crate) use ntlm::COMPUTER;
pub(crate) use sealing::Sealing;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};

use crate::options::{Options, Scheme};
use crate::server::Shared;
use credssp::{CredSsp, Outcome};
use ntlm::Ntlm;
use seal::NtlmSealing;
use spnego::{State, Token};

/// What is known of the other end.
#[derive(Debug, Default)]
pub(crate) struct Authentication {
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Unknown,
    /// SPNEGO has agreed on NTLM, whose first message is still to come.
    Agreed {
        mechanisms: Vec<u8>,
    },
    Challenged {
        ntlm: Ntlm,
        spnego: Option<Vec<u8>>,
    },
    /// A ticket was shown, and more is to be said.
    #[cfg(feature = "kerberos")]
    Shown(Box<kerberos::Kerberos>),
    CredSsp(CredSsp),
    Known {
        user: String,
        seal: Seal,
    },
}

/// What envelopes on a connection are sealed with.
#[derive(Debug)]
pub(crate) enum Seal {
    /// Keys that sign each envelope beside it.
    Signed(Sealing),
    /// A TLS session, by `CredSSP`.
    Tls(Tls),
}

/// What to do with a request.
pub(crate) enum Verdict {
    /// Carry it out.
    Known {
        /// For whom.
        user: String,
        /// What the reply says to it.
        token: Option<String>,
    },
    /// Answer 401 with this.
    Unknown {
        /// Offers, or the next token.
        authenticate: Vec<String>,
    },
}

impl Authentication {
    /// Looks at what a request says of its sender.
    pub(crate) fn check(&mut self, authorization: &str, shared: &Shared) -> Verdict {
        let options = &shared.options;
        let (scheme, value) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let offered = |wanted: Scheme| offers(options).any(|scheme| scheme == wanted);
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "negotiate" if offered(Scheme::Negotiate) => Scheme::Negotiate,
            "ntlm" if offered(Scheme::Ntlm) => Scheme::Ntlm,
            "kerberos" if offered(Scheme::Kerberos) => Scheme::Kerberos,
            "credssp" if offered(Scheme::CredSsp) => return self.credssp(value, shared),
            "basic" if offered(Scheme::Basic) => {
                return if basic(value, options) {
                    Verdict::Known { user: options.user.clone(), token: None }
                } else {
                    unknown(options)
                };
            }
            _ => {
                return match &self.step {
                    Step::Known { user, .. } if scheme.is_empty() => {
                        Verdict::Known { user: user.clone(), token: None }
                    }
                    _ => unknown(options),
                };
            }
        };
        let token = BASE64_STANDARD.decode(value.trim()).unwrap_or_default();
        let header = |token: &[u8]| format!("{} {}", name(scheme), BASE64_STANDARD.encode(token));
        match self.step(scheme, &token, shared) {
            Some((answer, true)) => {
                let token = (!answer.is_empty()).then(|| header(&answer));
                Verdict::Known { user: options.user.clone(), token }
            }
            Some((answer, false)) => Verdict::Unknown { authenticate: vec![header(&answer)] },
            None => unknown(options),
        }
    }

    /// Takes a token of `CredSSP`.
    fn credssp(&mut self, value: &str, shared: &Shared) -> Verdict {
        let token = BASE64_STANDARD.decode(value.trim()).unwrap_or_default();
        let begun = match std::mem::take(&mut self.step) {
            Step::CredSsp(begun) => Some(begun),
            // A token that comes when one is known begins anew.
            _ => shared.key.as_ref().and_then(CredSsp::begin),
        };
        let answer = |token: &[u8]| {
            let header = format!("{} {}", name(Scheme::CredSsp), BASE64_STANDARD.encode(token));
            Verdict::Unknown { authenticate: vec![header] }
        };
        let Some((goes_on, outcome)) = begun.and_then(|begun| begun.take(&token, shared)) else {
            return unknown(&shared.options);
        };
        if let Some(goes_on) = goes_on {
            self.step = Step::CredSsp(goes_on);
        }
        match outcome {
            Outcome::Answer(token) | Outcome::Refused(Some(token)) => answer(&token),
            Outcome::Refused(None) => unknown(&shared.options),
            Outcome::Known(tls) => {
                let user = shared.options.user.clone();
                self.step = Step::Known { user: user.clone(), seal: Seal::Tls(tls) };
                Verdict::Known { user, token: None }
            }
        }
    }

    /// What envelopes on this connection are sealed with.
    pub(crate) fn seal(&mut self) -> Option<&mut Seal> {
        match &mut self.step {
            Step::Known { seal, .. } => Some(seal),
            _ => None,
        }
    }

    /// The same, where each envelope has a signature beside it.
    fn sealing(&mut self) -> Option<&mut Sealing> {
        match self.seal()? {
            Seal::Signed(sealing) => Some(sealing),
            Seal::Tls(_) => None,
        }
    }

    /// Takes a token; answers the next one and whether that was the last step, or `None` for a refusal.
    fn step(&mut self, scheme: Scheme, token: &[u8], shared: &Shared) -> Option<(Vec<u8>, bool)> {
        // A token that comes when one is known begins anew, as it does with Windows.
        let before = std::mem::take(&mut self.step);
        #[cfg(feature = "kerberos")]
        let before = match before {
            Step::Shown(kerberos) => return self.show(kerberos, scheme, token, shared),
            _ if offers_kerberos(&shared.options) && scheme != Scheme::Ntlm && spnego::is_kerberos(token) => {
                return self.show(Box::default(), scheme, token, shared);
            }
            other => other,
        };
        if scheme == Scheme::Kerberos {
            return None;
        }
        let read = Token::read(token)?;
        match (before, read) {
            (Step::Challenged { ntlm, spnego: None }, Token::Ntlm(message)) if ntlm::is_last(message) => {
                let sealing = accept(&ntlm, message, shared)?;
                self.know(Sealing::Ntlm(Box::new(sealing)), shared);
                Some((Vec::new(), true))
            }
            (Step::Challenged { ntlm, spnego: Some(mechanisms) }, Token::Response { token, mic }) => {
                let mut sealing = accept(&ntlm, token?, shared)?;
                let mic = match mic {
                    Some(mic) => Some(sealing.exchange_mic(&mechanisms, mic)?),
                    None => None,
                };
                self.know(Sealing::Ntlm(Box::new(sealing)), shared);
                Some((spnego::respond(State::Completed, false, None, mic.as_ref().map(|mic| &mic[..])), true))
            }
            (Step::Agreed { mechanisms }, Token::Response { token, .. }) => {
                let ntlm = Ntlm::challenge(token?, shared.options.clock_skew_seconds)?;
                let answer = spnego::respond(State::Incomplete, false, Some(ntlm.message()), None);
                self.step = Step::Challenged { ntlm, spnego: Some(mechanisms) };
                Some((answer, false))
            }
            (_, Token::Ntlm(message)) => {
                let ntlm = Ntlm::challenge(message, shared.options.clock_skew_seconds)?;
                let answer = ntlm.message().to_vec();
                self.step = Step::Challenged { ntlm, spnego: None };
                Some((answer, false))
            }
            (_, Token::Init { mechanisms, ntlm_first: true, token: Some(message) }) => {
                let ntlm = Ntlm::challenge(message, shared.options.clock_skew_seconds)?;
                let answer = spnego::respond(State::Incomplete, true, Some(ntlm.message()), None);
                self.step = Step::Challenged { ntlm, spnego: Some(mechanisms.to_vec()) };
                Some((answer, false))
            }
            (_, Token::Init { mechanisms, .. }) if spnego::offers_ntlm(mechanisms) => {
                self.step = Step::Agreed { mechanisms: mechanisms.to_vec() };
                Some((spnego::respond(State::RequestMic, true, None, None), false))
            }
            _ => None,
        }
    }

    /// Takes a token of Kerberos, and lets in whom the ticket is for, if that is the user.
    #[cfg(feature = "kerberos")]
    fn show(
        &mut self,
        mut kerberos: Box<kerberos::Kerberos>,
        scheme: Scheme,
        token: &[u8],
        shared: &Shared,
    ) -> Option<(Vec<u8>, bool)> {
        if let Some((answer, let_in)) = shared.faults.pretends() {
            return Some((answer.to_vec(), let_in));
        }
        let answer = kerberos.step(token, end_point(shared).as_deref())?;
        if !kerberos.is_complete() {
            self.step = Step::Shown(kerberos);
            return Some((answer, false));
        }
        if kerberos.whom() != shared.options.principal {
            return None;
        }
        self.know(Sealing::Kerberos(kerberos.sealing(), scheme), shared);
        Some((answer, true))
    }

    fn know(&mut self, sealing: Sealing, shared: &Shared) {
        let seal = Seal::Signed(sealing);
        self.step = Step::Known { user: shared.options.user.clone(), seal };
    }
}

fn accept(ntlm: &Ntlm, message: &[u8], shared: &Shared) -> Option<NtlmSealing> {
    let binding = end_point(shared).map(|data| binding(&data));
    ntlm.accept(message, &shared.options.user, &shared.options.password, binding)
}

/// What logins on a TLS connection are bound to, `tls-server-end-point` (RFC 5929).
fn end_point(shared: &Shared) -> Option<Vec<u8>> {
    let fingerprint = shared.certificate.as_ref()?.fingerprint();
    Some([b"tls-server-end-point:", &fingerprint[..]].concat())
}

/// The hash of channel bindings: a `gss_channel_bindings_struct` without addresses around the data.
fn binding(data: &[u8]) -> [u8; 16] {
    let length = u32::try_from(data.len()).unwrap_or_default().to_le_bytes();
    Md5::new().chain_update([0; 16]).chain_update(length).chain_update(data).finalize().into()
}

fn offers(options: &Options) -> impl Iterator<Item = Scheme> {
    let may = |scheme: &Scheme| match scheme {
        Scheme::Basic => options.tls || options.allow_unencrypted,
        Scheme::Kerberos => offers_kerberos(options),
        Scheme::Negotiate | Scheme::Ntlm | Scheme::CredSsp => true,
    };
    options.schemes.iter().copied().filter(may)
}

fn offers_kerberos(options: &Options) -> bool {
    cfg!(feature = "kerberos") && options.principal.is_some()
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Negotiate => "Negotiate",
        Scheme::Ntlm => "NTLM",
        Scheme::Kerberos => "Kerberos",
        Scheme::CredSsp => "CredSSP",
        Scheme::Basic => "Basic realm=\"WSMAN\"",
    }
}

fn unknown(options: &Options) -> Verdict {
    Verdict::Unknown { authenticate: offers(options).map(|scheme| name(scheme).to_owned()).collect() }
}

/// What is not ASCII comes as UTF-8 from some clients and as Latin-1 from others: each is taken.
fn basic(value: &str, options: &Options) -> bool {
    let decoded = BASE64_STANDARD.decode(value.trim()).unwrap_or_default();
    let latin = decoded.iter().map(|&byte| char::from(byte)).collect();
    let right = |text: &str| {
        text.split_once(':').is_some_and(|(user, password)| {
            let user = user.rsplit_once('\\').map_or(user, |(_, user)| user);
            ntlm::same_name(user, &options.user) && password == options.password
        })
    };
    [String::from_utf8_lossy(&decoded).into_owned(), latin].iter().any(|text| right(text))
}
