//! The steps of a login by `CredSSP`, over HTTP.

use hyper::StatusCode;
use rustls::{AlertDescription, Error as TlsError};

use super::super::authenticate::{Context, Login, Stop, account, token};
use super::super::dial::Dialled;
use super::super::encrypted::Seal as _;
use super::super::ntlm::{self, Account, Binding, Handshake, Sealer};
use super::super::options::Security;
use super::super::words;
use super::Tls;
use super::key::{Side, seen};
use super::request::{Answer, Request, credentials};
use super::spnego::{self, Response};
use crate::{Error, Secret};

/// The guest's word for it.
const SCHEME: &str = "CredSSP";

/// The first version in which nobody between can use what shows the key.
const SAFE: u32 = 5;

/// More flights than any TLS handshake has.
const FLIGHTS: usize = 8;

impl Login<'_> {
    /// Logs in, and hands the password over.
    pub(in crate::winrm) async fn hand_over(
        &self,
        password: &Secret,
        dialled: &mut Dialled,
    ) -> Result<Context, Stop> {
        let mut tls = self.shake(dialled).await?;
        let key = tls.key().ok_or_else(|| self.failed("its certificate of CredSSP is malformed"))?.to_vec();
        let (domain, user) = account(&self.target.user);
        let account = Account { domain, user, password: password.expose() };

        let handshake = Handshake::new();
        let offer = spnego::offer(handshake.negotiate());
        let answer =
            self.exchange(&mut tls, &Request { token: Some(&offer), ..Request::default() }, dialled).await?;
        let theirs = answer.token.as_deref().and_then(Response::read).and_then(|response| response.token);
        let theirs = theirs.ok_or_else(|| self.failed("no NTLM challenge came back by CredSSP"))?;
        let binding = Binding { service: format!("HTTP/{}", self.target.address.ip()), channel: None };
        let (last, mut sealer) = handshake
            .authenticate(theirs, &account, &binding)
            .map_err(|why| self.failed(&format!("the login by CredSSP failed: {why}")))?;
        self.show_key(&mut tls, &mut sealer, &last, &key, dialled).await?;

        let credentials = sealed(&mut sealer, &credentials(&account));
        let request = Request { credentials: Some(&credentials), ..Request::default() };
        let records = tls.give(&request.write()).map_err(|error| self.broken(&error))?;
        let answer = self.ask(dialled, Some((SCHEME, &records))).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Stop::No("handed the password over by CredSSP".into()));
        }
        if answer.last {
            return Err(self.failed("the guest ends the connection right after the login"));
        }
        Ok(match self.security {
            Security::Tls => Context::Plain,
            Security::SealedMessages => Context::SealedByTls(Box::new(tls)),
        })
    }

    /// Agrees on a TLS session.
    async fn shake(&self, dialled: &mut Dialled) -> Result<Tls, Stop> {
        let mut tls = Tls::begin(self.target.address.ip()).map_err(|error| self.broken(&error))?;
        for _ in 0..FLIGHTS {
            if !tls.is_shaking() {
                return Ok(tls);
            }
            let flight = tls.give(&[]).map_err(|error| self.broken(&error))?;
            let answer = self.ask(dialled, Some((SCHEME, &flight))).await?;
            let answer =
                token(&answer, SCHEME).ok_or_else(|| self.failed("no answer of TLS came back by CredSSP"))?;
            tls.take(&answer).map_err(|error| self.broken(&error))?;
        }
        Err(self.failed("its TLS handshake of CredSSP has no end"))
    }

    /// Proves who we are and which key we see, and has the guest prove the same.
    async fn show_key(
        &self,
        tls: &mut Tls,
        sealer: &mut Sealer,
        last: &[u8],
        key: &[u8],
        dialled: &mut Dialled,
    ) -> Result<(), Stop> {
        // Who is to see that no message was changed is to see the same of the list.
        let code = ntlm::has_code(last).then(|| sealer.sign(spnego::OFFERED));
        let nonce = rand::random();
        let ours = sealed(sealer, &seen(Side::Client, &nonce, key));
        let last = spnego::last(last, code.as_ref().map(<[u8; 16]>::as_slice));
        let request =
            Request { token: Some(&last), key: Some(&ours), nonce: Some(&nonce), ..Request::default() };
        let answer = self.exchange(tls, &request, dialled).await?;

        let said = answer.token.as_deref().and_then(Response::read).and_then(|response| response.code);
        let unproved = || self.failed("its sight of the key of CredSSP is not sealed by the guest");
        if said.is_some_and(|code| !sealer.signed(spnego::OFFERED, code)) {
            return Err(unproved());
        }
        let theirs = answer.key.as_deref().and_then(|key| opened(sealer, key)).ok_or_else(unproved)?;
        if theirs != seen(Side::Server, &nonce, key) {
            return Err(Stop::Failed(Error::WrongIdentity(format!(
                "the guest at {} knows the password and shows the key of somebody else by CredSSP: somebody is between; \
                 the password was not sent",
                self.target.address
            ))));
        }
        Ok(())
    }

    /// Sends a request in the TLS session, and reads the answer.
    async fn exchange(
        &self,
        tls: &mut Tls,
        request: &Request<'_>,
        dialled: &mut Dialled,
    ) -> Result<Answer, Stop> {
        let records = tls.give(&request.write()).map_err(|error| self.broken(&error))?;
        let answer = self.ask(dialled, Some((SCHEME, &records))).await?;
        let Some(records) = token(&answer, SCHEME) else {
            return Err(match answer.status {
                StatusCode::UNAUTHORIZED => Stop::No("tried the password by CredSSP".into()),
                status => self.failed(&format!("no answer came back by CredSSP (HTTP {})", status.as_u16())),
            });
        };
        let answer = tls.take(&records).map_err(|error| self.broken(&error))?;
        let answer =
            Answer::read(&answer).ok_or_else(|| self.failed("its answer by CredSSP is malformed"))?;
        if answer.version < SAFE {
            return Err(Stop::Failed(Error::Forbidden(format!(
                "{}: the guest speaks version {} of CredSSP, in which somebody between can use the login (CVE-2018-0886): \
                 install its updates of 2018 or later, or log in by negotiate",
                self.target.address, answer.version
            ))));
        }
        match answer.code {
            None => Ok(answer),
            Some(code) => Err(Stop::No(format!("tried the password by CredSSP: {}", meaning(code)))),
        }
    }

    /// Why there is no TLS session.
    fn broken(&self, error: &TlsError) -> Stop {
        match error {
            TlsError::AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
            )
            | TlsError::PeerIncompatible(_) => Stop::Failed(Error::Invalid(format!(
                "{}: the guest has no TLS 1.2 with a safe cipher for CredSSP, as Windows 10 and Server 2016 have: log in \
                 by negotiate",
                self.target.address
            ))),
            error => self.failed(&format!("TLS in CredSSP failed: {}", words(error))),
        }
    }
}

/// What a guest's refusal means.
fn meaning(code: u32) -> String {
    let meaning = match code {
        0xc000_006d | 0x8009_030c => "the user or the password is wrong",
        0xc000_0071 | 0xc000_0224 => "the password has to be changed",
        0xc000_0072 => "the account is disabled",
        0xc000_0234 => "the account is locked",
        0x8009_030f => "it sees a key that is not its own: is somebody between?",
        _ => "the guest gives no reason that is known here",
    };
    format!("{meaning} ({code:#010x})")
}

/// A message sealed by NTLM, after its signature.
fn sealed(by: &mut Sealer, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let signature = by.seal(&mut message).expect("NTLM seals any number of messages");
    [&signature[..], &message].concat()
}

/// What the guest has sealed in the same way.
fn opened(by: &mut Sealer, message: &[u8]) -> Option<Vec<u8>> {
    let (signature, message) = message.split_at_checked(ntlm::SIGNATURE_BYTES)?;
    let mut message = message.to_vec();
    by.open(signature, &mut message).then_some(message)
}
