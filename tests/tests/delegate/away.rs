//! The delegate is gone, hangs, or comes back; the daemon is restarted meanwhile: nothing is lost, restarted or listed twice,
//! and what is ours never waits for it.

use std::time::Duration;

use proto::runtime::v1 as cri;
use tokio::time::Instant;
use tonic::Code;

use crate::client::{Client, pod};
use crate::mixed::{self, Mixed, Version};

/// What a list may take while the delegate hangs, for the first who asks and for everybody after that: less than the ten and the
/// two seconds for which one waits at most.
const FIRST: Duration = Duration::from_secs(8);
const LATER: Duration = Duration::from_millis(1500);
/// When its first process began, in ticks: the times of its folder in `/proc` are those of the first look at it.
const BEGUN: [&str; 5] = ["cut", "-d", " ", "-f22", "/proc/1/stat"];

#[tokio::test(flavor = "multi_thread")]
async fn pods_outlive_restarts_of_either_side() {
    mixed::on(Version::Newest, false, restarts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_outlive_restarts_of_the_distributions_containerd() {
    mixed::on(Version::Distribution, false, restarts).await;
}

async fn restarts(mut mixed: Mixed) {
    let mut client = mixed.client().await;
    let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
    let (theirs, id) = mixed.ordinary(&mut client, "theirs", "while :; do sleep 1; done").await;
    let boot = client.output(&id, &BEGUN).await;
    let both = [ours.clone(), theirs.clone()];
    assert_eq!(mixed::pods(&mut client).await, both);
    assert_eq!(mixed::containers(&mut client).await, [&*id]);
    assert_eq!(conditions(&mut client).await, [true; 4]);

    // kill -9 of containerd: its pods are as they were last known, ours as they are.
    mixed.containerd().kill();
    assert_eq!(mixed::pods(&mut client).await, both);
    assert_eq!(mixed::containers(&mut client).await, [&*id]);
    assert_eq!(filtered(&mut client, &theirs).await, [&*id]);
    assert_eq!(filtered(&mut client, &ours).await, Vec::<String>::new());
    assert_eq!(conditions(&mut client).await, [true, true, true, false], "Status says which side is unwell");
    let why = client.status(&id).await.unwrap_err();
    assert_eq!(why.code(), Code::Unavailable, "{why}");
    assert!(why.message().contains("containerd/s does not answer"), "{why}");
    let refused = client.stop(&id, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "that it could not be stopped is told: {refused}");
    let other = client.run_pod(&pod("other", &mixed.node.pod_logs())).await.unwrap();
    client.pod_status(&other).await.unwrap();
    mixed::remove(&mut client, &other).await;

    // Ours is killed too, and is back first.
    mixed.restart_daemon();
    client = mixed.client().await;
    assert_eq!(mixed::pods(&mut client).await, both, "what was last known outlives the daemon");
    assert_eq!(mixed::containers(&mut client).await, [&*id]);
    mixed.start_delegate();
    settled(&mut client, &both, &id, &boot).await;

    // Ours alone.
    mixed.restart_daemon();
    client = mixed.client().await;
    settled(&mut client, &both, &id, &boot).await;

    // Both at once, containerd first.
    mixed.node.daemon().kill();
    mixed.containerd().kill();
    mixed.start_delegate();
    mixed.restart_daemon();
    client = mixed.client().await;
    settled(&mut client, &both, &id, &boot).await;

    for pod in both {
        mixed::remove(&mut client, &pod).await;
    }
    assert_eq!(mixed::pods(&mut client).await, Vec::<String>::new());
    assert_eq!(mixed.containerd().left(), Vec::<String>::new());
}

/// All is as it was before: listed once, and never restarted.
async fn settled(client: &mut Client, pods: &[String], id: &str, boot: &str) {
    well(client).await;
    assert_eq!(mixed::pods(client).await, pods);
    assert_eq!(mixed::containers(client).await, [id]);
    let status = client.status(id).await.unwrap();
    assert_eq!(status.state, i32::from(cri::ContainerState::ContainerRunning));
    assert_eq!(client.output(id, &BEGUN).await, boot, "it never noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_that_hangs_holds_up_nobody() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        let (theirs, id) = mixed.ordinary(&mut client, "theirs", "while :; do sleep 1; done").await;
        let both = [ours.clone(), theirs.clone()];
        assert_eq!(mixed::pods(&mut client).await, both);

        tokio::task::block_in_place(|| mixed.containerd().freeze()).unwrap();
        let begun = Instant::now();
        assert_eq!(mixed::pods(&mut client).await, both);
        assert!(begun.elapsed() < FIRST, "the first list took {:?}", begun.elapsed());
        for _ in 0..5 {
            let begun = Instant::now();
            assert_eq!(mixed::pods(&mut client).await, both);
            client.pod_status(&ours).await.unwrap();
            assert!(begun.elapsed() < LATER, "a later list took {:?}", begun.elapsed());
        }
        assert_eq!(conditions(&mut client).await, [true, true, true, false]);

        mixed.containerd().thaw();
        client.status(&id).await.unwrap();
        well(&mut client).await;
        assert_eq!(mixed::pods(&mut client).await, both);
        for pod in both {
            mixed::remove(&mut client, &pod).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_without_its_cri_seems_not_to_be_empty() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let (theirs, id) = mixed.ordinary(&mut client, "theirs", "while :; do sleep 1; done").await;
        assert_eq!(mixed::pods(&mut client).await, [&*theirs]);
        assert_eq!(mixed::containers(&mut client).await, [&*id]);
        mixed.containerd().kill();
        tokio::task::block_in_place(|| mixed.containerd().start_without_cri(true)).unwrap();
        let refused = client.status(&id).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
        assert_eq!(mixed::pods(&mut client).await, [&*theirs]);
        assert_eq!(mixed::containers(&mut client).await, [&*id]);
        assert_eq!(conditions(&mut client).await, [true, true, true, false]);

        mixed.containerd().kill();
        tokio::task::block_in_place(|| mixed.containerd().start_without_cri(false)).unwrap();
        well(&mut client).await;
        mixed::remove(&mut client, &theirs).await;
    })
    .await;
}

/// Waits until both sides are well: an old containerd has its socket before it has its plugins, and an answer that was late is on
/// its way.
pub(crate) async fn well(client: &mut Client) {
    let begun = Instant::now();
    while conditions(client).await != [true; 4] {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come back by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The containers of a pod.
async fn filtered(client: &mut Client, pod: &str) -> Vec<String> {
    client.list(pod).await.into_iter().collect()
}

/// The conditions that tell of each side, and of the node.
async fn conditions(client: &mut Client) -> [bool; 4] {
    let status = client.runtime.status(cri::StatusRequest { verbose: false }).await.unwrap().into_inner();
    let conditions = status.status.unwrap().conditions;
    ["RuntimeReady", "NetworkReady", "InfranetesReady", "DelegateReady"].map(|kind| {
        let found = conditions.iter().find(|condition| condition.r#type == kind);
        let found = found.unwrap_or_else(|| panic!("no {kind} in {conditions:?}"));
        assert!(found.status || !found.message.is_empty(), "a reason is told: {found:?}");
        found.status
    })
}
