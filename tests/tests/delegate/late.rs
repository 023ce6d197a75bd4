//! The delegate is slow, not gone: what it has done for us is never told as if it had not, and what takes its time is waited for.

use std::time::Duration;

use proto::runtime::v1 as cri;
use tokio::task::block_in_place;
use tokio::time::Instant;
use tonic::Code;

use crate::away;
use crate::client::{Client, pod};
use crate::mixed::{self, Mixed, Version};

/// What a list may take that waits for nobody: less than the two seconds for which one waits for the delegate.
const SOON: Duration = Duration::from_millis(1500);
/// Longer than a list waits whose last state can be told.
const SLOW: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_known_to_be_wrong_is_not_told() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let (first, id) = mixed.ordinary(&mut client, "first", "while :; do sleep 1; done").await;
        assert_eq!(mixed::pods(&mut client).await, [&*first]);
        assert_eq!(mixed::containers(&mut client).await, [&*id]);
        let second = run(&mixed, &mut client, "second").await;

        block_in_place(|| mixed.containerd().freeze()).unwrap();
        let late = listed(&mut client).await.unwrap_err();
        assert_eq!(late.code(), Code::Unavailable, "the second pod was there: {late}");
        let begun = Instant::now();
        assert_eq!(listed(&mut client).await.unwrap_err().code(), Code::Unavailable);
        assert!(begun.elapsed() < SOON, "a later list took {:?}", begun.elapsed());
        assert_eq!(mixed::containers(&mut client).await, [&*id], "no container came since");

        // Slow is not silent: a list waits for what it needs.
        block_in_place(|| mixed.containerd().thaw());
        let mut both = [first.clone(), second.clone()];
        both.sort();
        let begun = Instant::now();
        while listed(&mut client).await.ok().as_deref() != Some(&both[..]) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not come back by itself");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        mixed::remove(&mut client, &second).await;
        block_in_place(|| mixed.containerd().freeze()).unwrap();
        let (slow, ()) = tokio::join!(listed(&mut client), thaw(&mut mixed));
        assert_eq!(slow.unwrap(), [&*first], "it was removed");

        // Gone is gone: nobody knows better than the last list.
        let third = run(&mixed, &mut client, "third").await;
        mixed.containerd().kill();
        assert_eq!(listed(&mut client).await.unwrap(), [&*first]);
        mixed.start_delegate();
        away::well(&mut client).await;
        mixed::remove(&mut client, &third).await;
        mixed::remove(&mut client, &first).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_waited_for() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let (pod, id) = mixed.ordinary(&mut client, "figures", "while :; do sleep 1; done").await;
        block_in_place(|| mixed.containerd().freeze()).unwrap();
        let request = cri::ListContainerStatsRequest::default();
        let (figures, ()) = tokio::join!(client.runtime.list_container_stats(request), thaw(&mut mixed));
        let figures = figures.unwrap().into_inner().stats;
        let ids: Vec<_> = figures.into_iter().filter_map(|it| it.attributes).map(|it| it.id).collect();
        assert_eq!(ids, [id]);
        mixed::remove(&mut client, &pod).await;
    })
    .await;
}

/// Lets a frozen delegate go on after a while.
async fn thaw(mixed: &mut Mixed) {
    tokio::time::sleep(SLOW).await;
    block_in_place(|| mixed.containerd().thaw());
}

async fn run(mixed: &Mixed, client: &mut Client, name: &str) -> String {
    client.run_pod_by(&pod(name, &mixed.node.pod_logs()), "").await.expect("a pod of containers")
}

pub(crate) async fn listed(client: &mut Client) -> Result<Vec<String>, tonic::Status> {
    let listed = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
    Ok(listed.into_inner().items.into_iter().map(|pod| pod.id).collect())
}
