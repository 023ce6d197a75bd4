//! The contract over a real OpenSSH server.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod servers;

use std::sync::Arc;

use contract::Guest;
use servers::Server;
use transports::{Identity, Ssh, generate_key};

async fn guest() -> Guest {
    over(Server::openssh(""))
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
