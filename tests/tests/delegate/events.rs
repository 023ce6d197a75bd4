//! Events of both sides in one stream.

use std::time::Duration;

use proto::runtime::v1 as cri;
use proto::runtime::v1::ContainerEventType;
use tonic::{Code, Streaming};

use crate::client::{Client, pod};
use crate::mixed::{self, Version};

type Events = Streaming<cri::ContainerEventResponse>;

async fn listen(client: &mut Client) -> Events {
    client.runtime.get_container_events(cri::GetEventsRequest {}).await.unwrap().into_inner()
}

/// What is told next, which takes a moment at most.
async fn next(events: &mut Events) -> Result<cri::ContainerEventResponse, tonic::Status> {
    let told = tokio::time::timeout(Duration::from_secs(60), events.message()).await;
    Ok(told.expect("something is told")?.expect("the stream goes on"))
}

/// Waits for an event about this.
async fn until(events: &mut Events, id: &str, kind: ContainerEventType) {
    loop {
        let event = next(events).await.unwrap();
        if event.container_id == id && event.container_event_type() == kind {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_are_told_beside_a_delegate_that_tells_none() {
    mixed::on(Version::Distribution, false, |mixed| async move {
        let mut client = mixed.client().await;
        let mut events = listen(&mut client).await;
        // More than one: a stream that is over may be told so only by the second look at it.
        for name in ["first", "second"] {
            let ours = client.run_pod(&pod(name, &mixed.node.pod_logs())).await.unwrap();
            until(&mut events, &ours, ContainerEventType::ContainerStartedEvent).await;
            mixed::remove(&mut client, &ours).await;
            until(&mut events, &ours, ContainerEventType::ContainerDeletedEvent).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_both_sides_are_told() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let mut events = listen(&mut client).await;
        let (theirs, id) = mixed.ordinary(&mut client, "theirs", "sleep 1000").await;
        until(&mut events, &id, ContainerEventType::ContainerStartedEvent).await;
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        until(&mut events, &ours, ContainerEventType::ContainerStartedEvent).await;
        client.stop(&id, 0).await.unwrap();
        until(&mut events, &id, ContainerEventType::ContainerStoppedEvent).await;

        // While it is away ours go on; once it is back, a listener has to begin anew.
        mixed.containerd().kill();
        client.remove_pod(&ours).await.unwrap();
        until(&mut events, &ours, ContainerEventType::ContainerDeletedEvent).await;
        mixed.start_delegate();
        let lost = loop {
            if let Err(lost) = next(&mut events).await {
                break lost;
            }
        };
        assert_eq!(lost.code(), Code::Unavailable, "{lost}");
        assert!(lost.message().contains("list, and ask for events again"), "{lost}");
        let mut events = listen(&mut client).await;
        mixed::remove(&mut client, &theirs).await;
        until(&mut events, &theirs, ContainerEventType::ContainerDeletedEvent).await;
    })
    .await;
}
