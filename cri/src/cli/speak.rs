//! A command in a guest, joined to this terminal or to our pipes, over the daemon's streaming server.
//!
//! ```text
//!   keys, pipe -> [0 bytes]   size -> [4 json]          ours
//!   [1 bytes] -> stdout, [2 bytes] -> stderr, [3 status] -> exit code
//! ```
//!
//! It ends with the command, or with a signal to us; either way the terminal is given back as it was, and the daemon
//! ends a command whose client is gone.

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::output;
use super::terminal::RawTerminal;

const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
/// Messages on their way to the daemon.
const WAITING: usize = 16;

/// Opens the session and runs it to its end; the command's exit code.
pub(super) async fn speak(url: &str, stdin: bool, terminal: Option<RawTerminal>) -> anyhow::Result<i32> {
    let Some(address) = url.strip_prefix("http://") else {
        bail!("the daemon's streaming server speaks TLS; use `crictl exec` with its certificate");
    };
    let host = address.split('/').next().unwrap_or_default();
    let socket = TcpStream::connect(host).await.with_context(|| format!("cannot connect to {host}"))?;
    let mut request = format!("ws://{address}").into_client_request().context("the daemon's URL is none")?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
    let (socket, _) = client_async(request, socket).await.context("the daemon opens no session")?;
    let (mut to, mut from) = socket.split();
    let (sender, mut messages) = mpsc::channel(WAITING);
    let told = async {
        while let Some(message) = messages.recv().await {
            to.send(message).await.context("the daemon is gone")?;
        }
        std::future::pending().await
    };
    let heard = async {
        let mut end = None;
        while let Some(message) = from.next().await {
            let Message::Binary(bytes) = message.context("the session was lost")? else { continue };
            match (bytes.first(), &terminal) {
                (Some(&STDOUT), Some(terminal)) => terminal.write_all(&bytes[1..]).await?,
                (Some(&STDOUT), None) => output::bytes(&bytes[1..])?,
                (Some(&STDERR), _) => output::error_bytes(&bytes[1..])?,
                (Some(&ERROR), _) => end = Some(exit_code(&bytes[1..])?),
                _ => {}
            }
        }
        end.context("the session was lost before the command had ended")
    };
    let typed = async {
        if stdin {
            typed(terminal.as_ref(), &sender).await?;
        }
        std::future::pending().await
    };
    tokio::select! {
        end = heard => end,
        end = told => end,
        end = typed => end,
        end = resized(terminal.as_ref(), &sender) => end,
        end = signalled() => end,
    }
}

/// Sends what is typed, and its end.
async fn typed(terminal: Option<&RawTerminal>, to: &mpsc::Sender<Message>) -> anyhow::Result<()> {
    let mut pipe = tokio::io::stdin();
    let mut keys = [0; 8192];
    loop {
        let count = match terminal {
            Some(terminal) => terminal.read(&mut keys).await,
            None => pipe.read(&mut keys).await,
        };
        let count = count.context("cannot read the standard input")?;
        let message = if count == 0 { vec![CLOSE, STDIN] } else { [&[STDIN], &keys[..count]].concat() };
        let sent = to.send(Message::Binary(message.into())).await;
        if count == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

/// Tells the size of the terminal, now and whenever it changes.
async fn resized<T>(terminal: Option<&RawTerminal>, to: &mpsc::Sender<Message>) -> anyhow::Result<T> {
    let mut changes = signal(SignalKind::window_change())?;
    if let Some(terminal) = terminal {
        loop {
            let (columns, rows) = terminal.size()?;
            let told = json!({ "Width": columns, "Height": rows }).to_string();
            let message = [&[RESIZE], told.as_bytes()].concat();
            if to.send(Message::Binary(message.into())).await.is_err() || changes.recv().await.is_none() {
                break;
            }
        }
    }
    std::future::pending().await
}

/// Fails when we are asked to end. Ctrl-C is a key of the guest's where there is a terminal.
async fn signalled<T>() -> anyhow::Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = hang_up.recv() => bail!("the terminal is gone"),
    }
}

/// The exit code in the status that ends a session.
fn exit_code(status: &[u8]) -> anyhow::Result<i32> {
    let status: Value = serde_json::from_slice(status).context("the daemon's last word is no status")?;
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code =
        causes.filter(|cause| cause["reason"] == "ExitCode").find_map(|cause| cause["message"].as_str());
    match code.and_then(|code| code.parse().ok()) {
        Some(code) => Ok(code),
        None => bail!("{}", status["message"].as_str().unwrap_or("the command failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_tells_the_exit_code_or_why_there_is_none() {
        assert_eq!(exit_code(br#"{"status":"Success"}"#).unwrap(), 0);
        let failed = br#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        assert_eq!(exit_code(failed).unwrap(), 7);
        let lost = br#"{"status":"Failure","message":"the guest was lost"}"#;
        assert_eq!(exit_code(lost).unwrap_err().to_string(), "the guest was lost");
        assert!(exit_code(b"?").is_err());
    }
}
