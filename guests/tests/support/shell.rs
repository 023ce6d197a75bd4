//! What a script prints in a guest: for tests that look at what was done to it.

use std::time::Duration;

use transports::{Bounds, Command, Exit, Session, Stdin, capture};

/// How long a look at the guest may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a script prints, which succeeds.
pub(crate) async fn sh(session: &dyn Session, script: &str) -> String {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 1 << 20 };
    let captured = capture(session, Command { argv, stdin: Stdin::Closed }, bounds).await.unwrap();
    assert_eq!(captured.exit, Exit::Code(0), "{script}: {}", String::from_utf8_lossy(&captured.stderr));
    String::from_utf8(captured.stdout).unwrap().trim().to_owned()
}
