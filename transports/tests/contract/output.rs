//! What a command prints, and what happens when nobody reads it.

use std::time::Duration;

use tokio::time::timeout;
use transports::{Bounds, Exit, Stream, capture};

use super::*;

pub async fn both_streams_come_through_whole(guest: Guest) {
    let _alone = MEMORY.lock().await;
    let session = guest.session().await;
    let script = "head -c 8388608 /dev/zero | tr '\\0' o & head -c 8388608 /dev/zero | tr '\\0' e >&2; wait";
    let captured = run(&*session, sh(script)).await;
    assert_eq!((captured.stdout.len(), captured.stderr.len()), (8 << 20, 8 << 20));
    assert!(
        captured.stdout.iter().all(|&byte| byte == b'o') && captured.stderr.iter().all(|&byte| byte == b'e')
    );
}

pub async fn output_beyond_the_bound_is_counted(guest: Guest) {
    let session = guest.session().await;
    let bounds = Bounds { timeout: Some(Duration::from_secs(60)), limit_bytes: 1000 };
    let captured = capture(&*session, sh("head -c 5000000 /dev/zero; echo x >&2"), bounds).await.unwrap();
    assert_eq!((captured.stdout.len(), captured.stderr.len(), captured.discarded), (1000, 2, 4_999_000));
    assert_eq!(captured.exit, Exit::Code(0));
}

/// Resident memory of this test program, in bytes.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

pub async fn an_unread_command_harms_no_other(guest: Guest) {
    let _alone = MEMORY.lock().await;
    let session = guest.session().await;
    let unread = session.exec(command(&["yes"])).await.unwrap();
    // Let it print as much as anyone takes: until memory stops growing.
    let mut before = 0;
    while memory_bytes() > before + (1 << 20) {
        before = memory_bytes();
        run(&*session, sh("sleep 0.5")).await;
    }
    let before = memory_bytes();
    for number in 0..100 {
        let captured = timeout(Duration::from_secs(20), run(&*session, sh(&format!("echo {number}")))).await;
        assert_eq!(captured.expect("it runs on").stdout, format!("{number}\n").into_bytes());
    }
    let grown = memory_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    drop(unread);
}

pub async fn an_unread_stream_loses_nothing(guest: Guest) {
    let session = guest.session().await;
    let mut slow = session.stream(sh("head -c 60000000 /dev/zero; echo end >&2")).await.unwrap();
    for _ in 0..10 {
        run(&*session, command(&["true"])).await;
    }
    let (mut length, mut stderr) = (0, Vec::new());
    let most = Duration::from_secs(20);
    while let Some(output) = timeout(most, slow.output.recv()).await.expect("it goes on") {
        match output.stream {
            Stream::Stdout => length += output.data.len(),
            Stream::Stderr => stderr.extend_from_slice(&output.data),
        }
    }
    assert_eq!((length, &stderr[..]), (60_000_000, &b"end\n"[..]));
    assert_eq!(timeout(most, slow.exit).await.unwrap().unwrap(), Exit::Code(0));
}
