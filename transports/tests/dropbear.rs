//! The contract over a real Dropbear server.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod servers;

use std::sync::Arc;

use contract::Guest;
use servers::Server;
use transports::{Identity, Ssh, generate_key};

async fn guest() -> Guest {
    over(Server::dropbear())
}

fn over(server: Server) -> Guest {
    Guest {
        transport: Arc::new(Ssh::default()),
        target: server.target(),
        other: Identity::Pinned(vec![generate_key("other").unwrap().public_openssh]),
        lacks: &[],
        cut: Box::new(move || server.cut()),
    }
}

contract!(guest);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_forward_is_told_from_a_refused_one() {
    let guest = over(Server::dropbear_with("-j"));
    let session = guest.session().await;
    let error = session.port_forward().unwrap().connect("127.0.0.1", 9).await.err().expect("forbidden");
    assert!(matches!(error, transports::Error::Forbidden(_)), "{error:?}");
}
