//! Many short lives beside each other leave the node as it was.

use tokio::task::JoinSet;

use crate::client::{Client, pod};

/// How many pods live.
const PODS: usize = 20;
/// How many of them at a time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_pods_in_a_loop_leave_nothing() {
    crate::within(480, churn()).await;
}

async fn churn() {
    let (node, mut client) = crate::node_with("[timeouts]\nstart-wait-seconds = 1").await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let before = node.inventory().unwrap();
    let logs = node.pod_logs();
    let mut lives = JoinSet::new();
    for number in 0..PODS {
        if lives.len() == AT_ONCE {
            lives.join_next().await.unwrap().unwrap();
        }
        let config = pod(&format!("pod-{number}"), &logs);
        let (client, image) = (client.clone(), image.clone());
        lives.spawn(async move { live(client, &config, &image).await });
    }
    while let Some(ended) = lives.join_next().await {
        ended.unwrap();
    }
    let after = node.inventory().unwrap();
    assert_eq!(after, before, "what {PODS} pods have left: {:?}", after.beyond(&before));
}

/// One pod from its beginning to its end. Nobody waits for its guest.
async fn live(mut client: Client, config: &proto::runtime::v1::PodSandboxConfig, image: &str) {
    let pod_id = client.run_pod(config).await.unwrap();
    let id = client.create(&pod_id, "machine", image).await.unwrap();
    client.start(&id).await.unwrap();
    client.stop(&id, 0).await.unwrap();
    let ended = client.status(&id).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "Killed"), "{}", ended.message);
    client.remove(&id).await.unwrap();
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
}
