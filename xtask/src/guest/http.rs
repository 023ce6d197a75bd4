//! As much HTTP/1.1 as a push to a local registry needs: one request a connection, a short answer.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// What the registry answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: String,
}

/// A body: its length in bytes, its media type and what writes it.
pub(super) struct Body<'a> {
    pub(super) length: u64,
    pub(super) media_type: &'a str,
    pub(super) write: &'a mut dyn FnMut(&mut dyn Write) -> Result<()>,
}

/// Sends one request to `host` (`HOST:PORT`).
pub(super) fn request(host: &str, method: &str, path: &str, body: Option<Body<'_>>) -> Result<Answer> {
    let stream = TcpStream::connect(host)
        .with_context(|| format!("cannot reach the registry {host}: is it running there, without TLS?"))?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut out = BufWriter::with_capacity(256 << 10, &stream);
    write!(out, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n")?;
    match body {
        Some(body) => {
            write!(out, "Content-Type: {}\r\nContent-Length: {}\r\n\r\n", body.media_type, body.length)?;
            (body.write)(&mut out)?;
        }
        None => write!(out, "Content-Length: 0\r\n\r\n")?,
    }
    out.flush().with_context(|| format!("the registry {host} took no more of {method} {path}"))?;
    answer(BufReader::new((&stream).take(LONGEST)), method == "HEAD")
        .with_context(|| format!("the registry {host} gave no proper answer to {method} {path}"))
}

fn answer(mut reader: impl BufRead, head: bool) -> Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("not HTTP: {line:?}") };
    let mut location = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("location") {
            location = Some(value.trim().to_owned());
        }
    }
    let mut body = Vec::new();
    if !head {
        reader.read_to_end(&mut body)?;
    }
    Ok(Answer { status, location, body: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn an_answer_is_read() {
        let text: &[u8] = b"HTTP/1.1 202 Accepted\r\nlocation: /v2/x?y=1\r\nContent-Length: 2\r\n\r\nok";
        let answer = answer(text, false).expect("a proper answer");
        assert_eq!(
            (answer.status, answer.location.as_deref(), answer.body.as_str()),
            (202, Some("/v2/x?y=1"), "ok")
        );
    }

    #[test]
    fn something_else_is_refused() {
        assert!(answer(&b"SSH-2.0-OpenSSH\r\n"[..], false).is_err());
    }
}
