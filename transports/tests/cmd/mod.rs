//! A server of our own, for what Windows' server does and this machine's cannot: exit codes of 32 bits, and, up to 7.7, to ignore
//! signals.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a failed step fails the test")]

use std::sync::Arc;

use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream};
use russh::{Channel, ChannelId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use transports::{Identity, Target, generate_key};

/// Serves one connection, whose user needs no proof.
pub struct Old {
    pub target: Target,
    /// What happens to its commands after they were run.
    pub events: mpsc::Receiver<&'static str>,
}

impl Old {
    pub async fn start() -> Self {
        let key = generate_key("host").unwrap();
        let keys = vec![PrivateKey::from_openssh(key.private_openssh.expose()).unwrap()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, events) = mpsc::channel(16);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let config = Arc::new(Config { keys, ..Config::default() });
            run_stream(config, stream, Connection { told }).await.unwrap().await
        });
        let target = Target {
            address,
            user: "Administrator".into(),
            host_name: None,
            credentials: Vec::new(),
            identity: Identity::Pinned(vec![key.public_openssh]),
            legacy_algorithms: Vec::new(),
        };
        Self { target, events }
    }
}

struct Connection {
    told: mpsc::Sender<&'static str>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let code = match line {
            b"@set OS" => {
                session.data(channel, &b"OS=Windows_NT\r\n"[..])?;
                0
            }
            // It has no right to what it reads.
            b"@crash" => 0xC000_0005,
            // It goes on.
            _ => return Ok(()),
        };
        session.exit_status_request(channel, code)?;
        session.close(channel)
    }

    async fn channel_close(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        let _ = self.told.try_send("closed");
        Ok(())
    }

    async fn signal(&mut self, _: ChannelId, _: russh::Sig, _: &mut Session) -> Result<(), Self::Error> {
        let _ = self.told.try_send("signalled");
        Ok(())
    }
}
