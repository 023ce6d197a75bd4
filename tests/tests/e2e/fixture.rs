//! Nodes for tests, and the deadline of each test.

use std::time::Duration;

use tests::{Node, Options};
use tokio::sync::Semaphore;

use crate::client::Client;

/// The turns of tests that have machines: an emulated one is busy on one processor at most, and for less than half of the time.
static MACHINES: Semaphore = Semaphore::const_new(3);

/// Runs a test that has machines, when it has its turn, and not longer than this.
///
/// # Panics
/// When the time is over. The test is dropped then, and with it its node and everything on it.
pub(crate) fn within(seconds: u64, test: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut test = Box::pin(test);
    async move {
        let _turn = MACHINES.acquire().await.expect("it is never closed");
        tokio::select! {
            ended = tokio::time::timeout(Duration::from_secs(seconds), &mut test) => {
                assert!(ended.is_ok(), "the test did not end within {seconds} s");
            }
            () = interrupted() => panic!("interrupted"),
        }
    }
}

/// Waits until the end is asked for.
async fn interrupted() {
    while !tests::interrupt::asked() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A node with machines, and the way to its daemon.
pub(crate) async fn node() -> (Node, Client) {
    node_with("").await
}

/// A node with machines and further configuration.
pub(crate) async fn node_with(config: &str) -> (Node, Client) {
    started(options(config, true)).await
}

/// A node without machines and without a network: for what the daemon alone decides.
pub(crate) async fn bare_node() -> (Node, Client) {
    bare_node_with("").await
}

/// A node without machines and with further configuration.
pub(crate) async fn bare_node_with(config: &str) -> (Node, Client) {
    started(options(config, false)).await
}

fn options(config: &str, machines: bool) -> Options {
    let mut options = Options::from_env().expect("the tests' environment");
    config.clone_into(&mut options.config);
    options.machines = machines;
    options
}

async fn started(options: Options) -> (Node, Client) {
    let node = tokio::task::block_in_place(|| Node::start(options)).expect("a node");
    let client = Client::connect(&node.socket()).await;
    (node, client)
}
