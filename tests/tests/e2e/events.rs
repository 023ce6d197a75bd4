//! Events of pods and containers as they happen.

use std::time::Duration;

use proto::runtime::v1 as cri;
use proto::runtime::v1::ContainerEventType::{
    self, ContainerCreatedEvent, ContainerDeletedEvent, ContainerStartedEvent, ContainerStoppedEvent,
};
use tonic::{Code, Streaming};

use crate::client::{Client, pod};

type Events = Streaming<cri::ContainerEventResponse>;

async fn listen(client: &mut Client) -> Events {
    client.runtime.get_container_events(cri::GetEventsRequest {}).await.unwrap().into_inner()
}

/// What is told, which takes a moment at most.
async fn timely<T>(told: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("something is told")
}

/// The next events, each by its id.
async fn next<const N: usize>(events: &mut Events) -> [(String, ContainerEventType); N] {
    let mut told = Vec::new();
    while told.len() < N {
        let event = timely(events.message()).await.unwrap().expect("the stream goes on");
        assert!(event.created_at > 0 && event.pod_sandbox_status.is_some(), "{event:?}");
        told.push((event.container_id.clone(), event.container_event_type()));
    }
    told.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_is_told_to_every_listener() {
    let (mut node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let (mut one, mut two) = (listen(&mut client).await, listen(&mut client).await);
    let pod_id = client.run_pod(&pod("told", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    client.stop(&id, 1).await.unwrap();
    let about = |id: &String, kind| (id.clone(), kind);
    let expected = [
        about(&pod_id, ContainerCreatedEvent),
        about(&pod_id, ContainerStartedEvent),
        about(&id, ContainerCreatedEvent),
        about(&id, ContainerStartedEvent),
        about(&id, ContainerStoppedEvent),
    ];
    assert_eq!(next(&mut one).await, expected);
    assert_eq!(next(&mut two).await, expected);

    let mut late = listen(&mut client).await;
    client.remove_pod(&pod_id).await.unwrap();
    let stopped = timely(late.message()).await.unwrap().unwrap();
    assert_eq!((&stopped.container_id, stopped.container_event_type()), (&pod_id, ContainerStoppedEvent));
    assert_eq!(stopped.containers_statuses[0].id, id, "what is left of it is told with it");
    assert_eq!(
        next(&mut late).await,
        [about(&id, ContainerDeletedEvent), about(&pod_id, ContainerDeletedEvent)]
    );

    // The end of the daemon is the end of the stream, and not held up by it.
    tokio::task::block_in_place(|| node.daemon().terminate()).unwrap();
    assert!(!matches!(timely(late.message()).await, Ok(Some(_))));
}

/// A kubelet's sweep keeps one attempt of those that do not run, which shall be the one that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_starts_runs_to_all_others() {
    // Nothing in the guest listens there, so its start takes all that it may.
    let config =
        "[timeouts]\nstart-wait-seconds = 110\n[[image]]\npattern = \"*/guests/mini:*\"\nfacts.port = 9";
    let (node, mut client) = crate::node_with(config).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("starts", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    let mut events = listen(&mut client).await;
    let start = tokio::spawn({
        let (mut client, id) = (Client::connect(&node.socket()).await, id.clone());
        async move { client.start(&id).await }
    });
    assert_eq!(next(&mut events).await, [(id.clone(), ContainerStartedEvent)]);
    assert!(!start.is_finished());
    let status = client.status(&id).await.unwrap();
    assert_eq!(status.state, i32::from(cri::ContainerState::ContainerRunning), "{status:?}");
    client.stop(&id, 0).await.unwrap();
    let _ = start.await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_does_not_read_is_let_go() {
    let (node, mut client) = crate::bare_node().await;
    // On a connection of its own: what waits unread on one may leave no room on it for the answers to others.
    let mut deaf = listen(&mut Client::connect(&node.socket()).await).await;
    let mut made = 0;
    // Enough that neither the ring nor what the connection holds takes them all.
    for number in 0..500 {
        let mut config = pod(&format!("p{number}"), &node.pod_logs());
        config.annotations.insert("example/bulk".into(), "x".repeat(8 << 10));
        let id = client.run_pod(&config).await.unwrap();
        client.remove_pod(&id).await.unwrap();
        made += 4;
    }
    let mut read = 0;
    let error = loop {
        match timely(deaf.message()).await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the stream ended without a word after {read} of {made}"),
            Err(error) => break error,
        }
    };
    assert!(read < made, "it was told everything");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("events were lost"), "{error}");
}
