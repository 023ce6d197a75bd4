//! A real journald, in a mount namespace of its own, read by a follower that is cut off at random: every line of every
//! message exactly once, and a lost cursor is said.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guests::Family;
use guests::log::{Cursor, LogSource, Record, follow};
use rand::Rng;
use support::LocalSession;
use transports::Session;

/// Lays private folders over those that journald writes to, then becomes journald.
const JOURNALD: &str = "set -e
mount --make-rprivate /
mkdir -p /run/systemd
mount -t tmpfs run /run/systemd
mount -t tmpfs log /run/log
mount --bind \"$1\" /var/log
mkdir -p /run/systemd/journal
exec /lib/systemd/systemd-journald";

/// The cursor of an entry that no journal has.
const FOREIGN: &str =
    "s=11111111111111111111111111111111;i=1;b=11111111111111111111111111111111;m=1;t=1;x=1111111111111111";

/// A `journalctl` that is killed whenever it looks for a cursor.
const KILLED: &str = r#"#!/bin/sh
case $* in *--lines=1*) kill -9 $$ ;; esac
exec /usr/bin/journalctl "$@"
"#;

struct Journald {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Journald {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", JOURNALD, "sh"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare and systemd are installed, and the tests run as root");
        let journald = Self { child, _folder: folder };
        let end = Instant::now() + Duration::from_secs(20);
        while journald.send(b"MESSAGE=up\n").is_err() {
            assert!(Instant::now() < end, "journald does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        journald
    }

    fn socket(&self) -> String {
        format!("/proc/{}/root/run/systemd/journal/socket", self.child.id())
    }

    fn send(&self, fields: &[u8]) -> std::io::Result<()> {
        UnixDatagram::unbound()?.send_to(fields, self.socket()).map(drop)
    }

    fn log(&self, identifier: &str, message: &[u8]) {
        let length = (message.len() as u64).to_le_bytes();
        let name = format!("\nSYSLOG_IDENTIFIER={identifier}\n");
        self.send(&[b"MESSAGE\n", &length[..], message, name.as_bytes()].concat()).unwrap();
    }

    fn session(&self) -> Arc<dyn Session> {
        self.session_with(&[])
    }

    /// A session whose commands are run through `prefix`.
    fn session_with(&self, prefix: &[&str]) -> Arc<dyn Session> {
        let pid = self.child.id().to_string();
        let enter = ["nsenter", "--mount", "--target", &pid];
        let through = enter.iter().chain(prefix).map(ToString::to_string).collect();
        Arc::new(LocalSession { path: None, through })
    }
}

/// How a line of this process is shown: journald itself tells the process.
fn named(line: &str) -> String {
    format!("app[{}]: {line}", std::process::id())
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(&record.text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_every_message_once() {
    let journald = Journald::start().await;
    let total = 600;
    let mut expected = Vec::new();
    for n in 0..total {
        journald.log("app", format!("line {n}\nmore of {n}").as_bytes());
        expected.push(named(&format!("line {n}")));
        expected.push(named(&format!("more of {n}")));
    }
    journald.log("app", &vec![b'x'; 20_000]);
    journald.log("app", b"not \xff text \x01");
    let (mut lines, mut cursor, mut cuts) = (Vec::new(), None::<Cursor>, 0);
    let mut parts = Vec::new();
    let end = Instant::now() + Duration::from_secs(90);
    while !lines.last().is_some_and(|line: &String| line.contains("not \u{fffd} text")) {
        assert!(Instant::now() < end, "only {} lines", lines.len());
        let source = LogSource::Journal { unit: None };
        let mut stream = follow(journald.session(), Family::Unix, source, cursor.clone()).await.unwrap();
        let most = rand::rng().random_range(1..400);
        for _ in 0..most {
            let Ok(record) = tokio::time::timeout(Duration::from_secs(5), stream.next()).await else { break };
            let record = record.unwrap().unwrap();
            assert!(!record.notice, "{}", text(&record));
            cursor = Some(record.cursor.clone());
            if text(&record).starts_with(&named("xxx")) || record.text.starts_with(b"xxx") {
                parts.push((record.text.len(), record.partial));
            } else if record.text.starts_with(b"app[") {
                lines.push(text(&record));
            }
        }
        cuts += 1;
    }
    lines.pop();
    assert_eq!(lines, expected, "after {cuts} cuts");
    assert_eq!(parts, [(16384, true), (20_000 + named("").len() - 16384, false)]);
    assert!(cuts > 2, "nothing was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_place_is_said_and_the_oldest_follows() {
    let journald = Journald::start().await;
    journald.log("app", b"oldest");
    let cursor = Some(Cursor(format!("j1:1:{FOREIGN}")));
    let mut stream =
        follow(journald.session(), Family::Unix, LogSource::Journal { unit: None }, cursor).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.notice && text(&first).contains("is lost"), "{}", text(&first));
    let end = Instant::now() + Duration::from_secs(20);
    while text(&stream.next().await.unwrap().unwrap()) != named("oldest") {
        assert!(Instant::now() < end, "the oldest line did not come");
    }
    let bad = follow(
        journald.session(),
        Family::Unix,
        LogSource::Journal { unit: None },
        Some(Cursor("f1:1".into())),
    )
    .await;
    assert!(bad.unwrap_err().to_string().contains("is not of a journal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_failed_is_no_lost_place() {
    let journald = Journald::start().await;
    journald.log("app", b"told");
    let tools = tempfile::tempdir().unwrap();
    let killed = tools.path().join("journalctl");
    std::fs::write(&killed, KILLED).unwrap();
    std::fs::set_permissions(&killed, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", tools.path().display());
    let cursor = Some(Cursor(format!("j1:1:{FOREIGN}")));
    let session = journald.session_with(&["env", &path]);
    let mut stream = follow(session, Family::Unix, LogSource::Journal { unit: None }, cursor).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(error.retryable() && error.to_string().contains("failed with code 137"), "{error}");
    assert!(stream.next().await.is_none());
}
