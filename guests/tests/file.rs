//! A log file that grows and is rotated, read by a follower that is cut off at random and resumes by its cursor: every
//! line exactly once.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

#[path = "../../transports/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guests::Family;
use guests::log::{Cursor, LogSource, Record, follow};
use rand::Rng;
use support::LocalSession;
use transports::{Session, Ssh, SshOptions, Transport};

/// How a test's writer rotates.
#[derive(Clone, Copy)]
enum Rotation {
    /// Rename and create, with the last lines still going to the renamed file.
    Create,
    /// Copy, then truncate.
    CopyTruncate,
}

fn append(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().append(true).create(true).mode(0o644).open(path).unwrap()
}

fn numbered(path: &Path, n: u32) -> std::path::PathBuf {
    path.with_file_name(format!("app.log.{n}"))
}

/// Writes `total` numbered lines, rotating every `every` lines.
async fn write_lines(path: &Path, total: u32, every: u32, rotation: Rotation, pause: Duration) {
    let mut file = append(path);
    for n in 0..total {
        writeln!(file, "line {n}").unwrap();
        if n % every == every - 1 {
            for k in (1..8).rev() {
                let _ = std::fs::rename(numbered(path, k), numbered(path, k + 1));
            }
            match rotation {
                Rotation::Create => {
                    std::fs::rename(path, numbered(path, 1)).unwrap();
                    let mut old = std::mem::replace(&mut file, append(path));
                    drop(writeln!(old, "late {n}"));
                }
                Rotation::CopyTruncate => {
                    std::fs::copy(path, numbered(path, 1)).unwrap();
                    file.set_len(0).unwrap();
                }
            }
        }
        if n % 10 == 0 {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Reads until `done` says so, with cuts after a random number of records and a random time.
async fn read_with_cuts(
    session: &Arc<dyn Session>,
    path: &Path,
    expected: usize,
    deadline: Duration,
) -> (Vec<Record>, u32) {
    let source = LogSource::File { path: path.to_str().unwrap().into() };
    let (mut records, mut cursor, mut cuts) = (Vec::<Record>::new(), None::<Cursor>, 0);
    let end = Instant::now() + deadline;
    while records.len() < expected && Instant::now() < end {
        let mut stream = follow(session.clone(), Family::Unix, source.clone(), cursor.clone()).await.unwrap();
        let (most, patience) = {
            let mut random = rand::rng();
            (random.random_range(1..400), Duration::from_millis(random.random_range(300..4000)))
        };
        let cut = tokio::time::sleep(patience);
        tokio::pin!(cut);
        for _ in 0..most {
            tokio::select! {
                record = stream.next() => {
                    let record = record.unwrap().unwrap();
                    cursor = Some(record.cursor.clone());
                    records.push(record);
                }
                () = &mut cut => break,
            }
        }
        cuts += 1;
    }
    (records, cuts)
}

async fn every_line_once(session: Arc<dyn Session>, rotation: Rotation, every: u32, pause: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let total = 2000;
    let writer = {
        let path = path.clone();
        tokio::spawn(async move { write_lines(&path, total, every, rotation, pause).await })
    };
    let late = if matches!(rotation, Rotation::Create) { total / every } else { 0 };
    let (records, cuts) =
        read_with_cuts(&session, &path, (total + late) as usize, Duration::from_secs(90)).await;
    writer.await.unwrap();
    let notices: Vec<_> = records.iter().filter(|record| record.notice).collect();
    let waiting = |record: &&&Record| record.text.starts_with(b"waiting for");
    assert_eq!(notices.iter().filter(|n| !waiting(n)).count(), 0, "{notices:?}");
    let lines: Vec<String> =
        records.iter().filter(|r| !r.notice).map(|r| String::from_utf8(r.text.clone()).unwrap()).collect();
    let mut expected = Vec::new();
    for n in 0..total {
        expected.push(format!("line {n}"));
        if late > 0 && n % every == every - 1 {
            expected.push(format!("late {n}"));
        }
    }
    // The reader may stop before the last lines where a notice took their place.
    assert!(lines.len() + notices.len() >= expected.len(), "only {} of {}", lines.len(), expected.len());
    for (n, (read, written)) in lines.iter().zip(&expected).enumerate() {
        assert_eq!(read, written, "record {n} after {cuts} cuts");
    }
    assert!(cuts > 2, "nothing was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_and_create() {
    every_line_once(Arc::new(LocalSession::default()), Rotation::Create, 400, Duration::from_millis(60))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_and_truncate() {
    every_line_once(
        Arc::new(LocalSession::default()),
        Rotation::CopyTruncate,
        500,
        Duration::from_millis(60),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busybox() {
    let folder = tempfile::tempdir().unwrap();
    for applet in ["sh", "id", "ls", "dd", "md5sum", "cat", "kill", "sleep"] {
        std::os::unix::fs::symlink("/bin/busybox", folder.path().join(applet)).unwrap();
    }
    let session: Arc<dyn Session> =
        Arc::new(LocalSession { path: Some(folder.path().into()), ..LocalSession::default() });
    every_line_once(session.clone(), Rotation::Create, 400, Duration::from_millis(60)).await;
    every_line_once(session, Rotation::CopyTruncate, 500, Duration::from_millis(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_long_and_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's a \"log\" $HOME");
    let source = LogSource::File { path: path.to_str().unwrap().into() };
    let mut stream = follow(Arc::new(LocalSession::default()), Family::Unix, source, None).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.notice && first.text.starts_with(b"waiting for"), "{first:?}");
    let mut content = vec![b'x'; 40_000];
    content.extend_from_slice(b"\nbinary \0\xff\r\nprompt: ");
    append(&path).write_all(&content).unwrap();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let record = stream.next().await.unwrap().unwrap();
        sizes.push((record.text.len(), record.partial));
    }
    assert_eq!(sizes, [(16384, true), (16384, true), (40_000 - 2 * 16384, false)]);
    assert_eq!(stream.next().await.unwrap().unwrap().text, b"binary \0\xff\r");
    let prompt = stream.next().await.unwrap().unwrap();
    assert_eq!((&prompt.text[..], prompt.partial), (&b"prompt: "[..], true));
    append(&path).write_all(b"answer\n").unwrap();
    let answer = stream.next().await.unwrap().unwrap();
    assert_eq!((&answer.text[..], answer.partial), (&b"answer"[..], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ssh() {
    let server = servers::Server::openssh("");
    let session = Ssh::new(SshOptions::default()).connect(&server.target()).await.unwrap();
    every_line_once(session.into(), Rotation::Create, 400, Duration::from_millis(60)).await;
}
