//! The daemon from end to end, on real parts: real machines, a real registry, real CNI plugins.
//!
//! Run by `cargo xtask test --tier e2e`, which builds the guests and the daemon and tells where they are.

mod client;
mod life;

use tests::{Node, Options};

/// A node with machines, and the way to its daemon.
async fn node() -> (Node, client::Client) {
    node_with("").await
}

/// A node with further configuration.
async fn node_with(config: &str) -> (Node, client::Client) {
    let mut options = Options::from_env().expect("the tests' environment");
    options.config = config.to_owned();
    started(options).await
}

/// A node without machines and without a network: for what the daemon alone decides.
async fn bare_node() -> (Node, client::Client) {
    let mut options = Options::from_env().expect("the tests' environment");
    options.machines = false;
    started(options).await
}

async fn started(options: Options) -> (Node, client::Client) {
    let node = tokio::task::block_in_place(|| Node::start(options)).expect("a node");
    let client = client::Client::connect(&node.socket()).await;
    (node, client)
}
