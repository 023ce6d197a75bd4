//! For every step: a life during which the daemon dies there, is started again, and goes on.
//!
//! ```text
//!  daemon that will die at STEP -> calls of a life -> one fails -> daemon again -> nothing stray, no second machine
//!     -> the same call again -> the rest of the life -> the node is as it was before
//! ```

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use cri::fault::Step;
use proto::runtime::v1::ContainerState;
use tests::Node;

use crate::client::Client;
use crate::life::{Call, Life};
use crate::ownership::{Known, machines};

/// How long a daemon may live on after the call at which it dies.
const DEATH: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_any_step_leaves_nothing_and_loses_nothing() {
    crate::fixture::within(800, every_step()).await;
}

async fn every_step() {
    let (mut node, image) = node("[timeouts]\nstart-wait-seconds = 1").await;
    let before = node.inventory().unwrap();
    let mut covered = Vec::new();
    for (number, step) in Step::ALL.iter().enumerate() {
        node.daemon().kill();
        let serves = tokio::task::block_in_place(|| node.start_daemon_to_die_at(step.name())).unwrap();
        assert!(serves, "{}: an empty node passes no step", step.name());
        let mut client = Client::connect(&node.socket()).await;
        let mut life = Life::new(&format!("pod-{number}"), &image, &node.pod_logs());
        let died_in = live(&mut node, &mut client, &mut life, *step).await;
        let after = node.inventory().unwrap();
        assert_eq!(after, before, "{}: left {:?}", step.name(), after.beyond(&before));
        covered.push(format!("{:<22} during {died_in:?}", step.name()));
    }
    say(&format!("killed and recovered at {} steps:\n{}", covered.len(), covered.join("\n")));
}

/// Drives a life over the death of the daemon; answers the call that it died in.
async fn live(node: &mut Node, client: &mut Client, life: &mut Life, step: Step) -> Call {
    let name = step.name();
    let mut died_in = None;
    for call in Call::LIFE {
        if let Err(error) = life.call(client, call).await {
            assert_eq!(died_in, None, "{name}: {call:?} failed after the restart too: {error}");
            died_in = Some(call);
            let ran = restart(node, client, name).await;
            if matches!(step, Step::MachineStarted | Step::RunningRecorded) {
                assert_eq!(ran.len(), 1, "{name}: a machine ran");
                let runs = machines(&node.inventory().unwrap());
                assert_eq!(runs, ran, "{name}: the same machine runs on");
            }
            let again = life.call(client, call).await;
            again.unwrap_or_else(|error| panic!("{name}: {call:?} again: {error}"));
        }
        assert!(machines(&node.inventory().unwrap()).len() <= 1, "{name}: a second machine after {call:?}");
        check(client, life, call, name).await;
    }
    died_in.unwrap_or_else(|| panic!("{name}: no call of a whole life passes it"))
}

/// The daemon has died; starts it again, and proves that everything on the node belongs to someone. Answers the machines
/// that ran in between.
async fn restart(node: &mut Node, client: &mut Client, name: &str) -> Vec<String> {
    let status = tokio::task::block_in_place(|| node.daemon().wait_for_end(DEATH)).unwrap();
    assert_eq!(status.signal(), Some(9), "{name}: it died as by kill -9");
    let ran = machines(&node.inventory().unwrap());
    tokio::task::block_in_place(|| node.start_daemon()).unwrap();
    *client = Client::connect(&node.socket()).await;
    let known = Known::ask(client).await;
    let found = node.inventory().unwrap();
    assert_eq!(known.strays(&found), Vec::<String>::new(), "{name}: belongs to no pod");
    ran
}

/// What a kubelet sees after each call.
async fn check(client: &mut Client, life: &Life, call: Call, name: &str) {
    let state = match call {
        Call::Create => ContainerState::ContainerCreated,
        Call::Start => ContainerState::ContainerRunning,
        Call::Stop => ContainerState::ContainerExited,
        _ => return,
    };
    let status = client.status(&life.container).await.unwrap();
    assert_eq!(status.state, i32::from(state), "{name}: after {call:?}: {status:?}");
    if call == Call::Stop {
        let told = (status.exit_code, status.reason.as_str());
        assert_eq!(told, (137, "Killed"), "{name}: {}", status.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booted_guest_never_notices_that_the_daemon_died() {
    crate::fixture::within(240, booted()).await;
}

async fn booted() {
    let (mut node, image) = node("").await;
    let before = node.inventory().unwrap();
    node.daemon().kill();
    tokio::task::block_in_place(|| node.start_daemon_to_die_at(Step::RunningRecorded.name())).unwrap();
    let mut client = Client::connect(&node.socket()).await;
    let mut life = Life::new("booted", &image, &node.pod_logs());
    life.call(&mut client, Call::RunPod).await.unwrap();
    life.call(&mut client, Call::Create).await.unwrap();
    life.call(&mut client, Call::Start).await.expect_err("it dies when the guest first answers");
    let died = Instant::now();
    let ran = restart(&mut node, &mut client, "running-recorded").await;
    life.call(&mut client, Call::Start).await.unwrap();
    assert_eq!(machines(&node.inventory().unwrap()), ran, "the same machine runs on");
    let uptime = client.output(&life.container, &["cut", "-d.", "-f1", "/proc/uptime"]).await;
    let uptime: u64 = uptime.parse().unwrap();
    let since = died.elapsed().as_secs();
    assert!(uptime > since, "up for {uptime} s, while the daemon died {since} s ago: it has booted anew");
    let boot = client.output(&life.container, &["cat", "/proc/sys/kernel/random/boot_id"]).await;

    // A death with a session open, and one while it stops.
    node.daemon().kill();
    tokio::task::block_in_place(|| node.start_daemon_to_die_at(Step::StopRecorded.name())).unwrap();
    client = Client::connect(&node.socket()).await;
    assert_eq!(client.output(&life.container, &["cat", "/proc/sys/kernel/random/boot_id"]).await, boot);
    client.stop(&life.container, 30).await.expect_err("it dies when the stop is recorded");
    restart(&mut node, &mut client, "stop-recorded").await;
    client.stop(&life.container, 30).await.unwrap();
    let ended = client.status(&life.container).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    for call in [Call::Remove, Call::StopPod, Call::RemovePod] {
        life.call(&mut client, call).await.unwrap();
    }
    let after = node.inventory().unwrap();
    assert_eq!(after, before, "left {:?}", after.beyond(&before));
}

/// A node whose store has the mini image.
async fn node(config: &str) -> (Node, String) {
    let (node, mut client) = crate::fixture::node_with(config).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    (node, image)
}

#[expect(clippy::disallowed_macros, reason = "a test's output is what it prints")]
fn say(text: &str) {
    println!("{text}");
}
