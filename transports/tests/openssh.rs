//! The transport over a real OpenSSH server.

mod servers;

use std::time::Duration;

use servers::Server;
use transports::{Bounds, Captured, Command, Exit, Ssh, Stdin, Transport as _, capture};

fn bounds() -> Bounds {
    Bounds { timeout: Some(Duration::from_secs(30)), limit_bytes: 1 << 20 }
}

fn sh(script: &str) -> Command {
    Command { argv: vec!["sh".into(), "-c".into(), script.into()], stdin: Stdin::Closed }
}

#[tokio::test]
async fn a_command_runs() {
    let server = Server::openssh("");
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    let captured = capture(&*session, sh("echo out; echo err >&2; exit 7"), bounds()).await.unwrap();
    assert_eq!(
        captured,
        Captured { stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec(), exit: Exit::Code(7), discarded: 0 }
    );
    let captured = capture(&*session, sh("kill -TERM $$"), bounds()).await.unwrap();
    assert_eq!(captured.exit, Exit::Signal("TERM".into()));
    let start = std::time::Instant::now();
    for _ in 0..100 {
        capture(&*session, Command { argv: vec!["true".into()], stdin: Stdin::Closed }, bounds())
            .await
            .unwrap();
    }
    eprintln!("{:?} an exec", start.elapsed() / 100);
}
