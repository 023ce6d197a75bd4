//! The contract over a real OpenSSH server.

mod contract;
mod servers;

use std::sync::Arc;

use contract::Guest;
use servers::Server;
use transports::Ssh;

async fn guest() -> Guest {
    over(Server::openssh(""))
}

fn over(server: Server) -> Guest {
    let target = server.target();
    Guest { transport: Arc::new(Ssh::default()), target, cut: Box::new(move || server.cut()) }
}

contract!(guest);
