//! A pod's whole life, as the kubelet asks for it.

use proto::runtime::v1::{ContainerState, PodSandboxState};

use crate::client::pod;

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_image_lives_as_a_pod_and_leaves_nothing() {
    crate::within(240, life()).await;
}

async fn life() {
    let (node, mut client) = crate::node().await;
    let before = node.inventory().unwrap();
    let image = format!("{}/guests/mini:latest", node.registry());
    let image_id = client.pull(&image).await.unwrap();

    let config = pod("life", &node.pod_logs());
    let pod_id = client.run_pod(&config).await.unwrap();
    let status = client.pod_status(&pod_id).await.unwrap();
    assert_eq!(status.state, i32::from(PodSandboxState::SandboxReady));
    let address = status.network.unwrap().ip;
    assert!(address.starts_with("10.89."), "the pod IP exists before any boot: {address}");

    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    let created = client.status(&id).await.unwrap();
    assert_eq!(created.state, i32::from(ContainerState::ContainerCreated));
    assert_eq!(created.image_ref, image_id);

    client.start(&id).await.unwrap();
    assert_eq!(client.status(&id).await.unwrap().state, i32::from(ContainerState::ContainerRunning));
    let addresses = client.output(&id, &["ip", "-4", "addr", "show", "eth0"]).await;
    assert!(addresses.contains(&address), "the guest has exactly the pod IP {address}: {addresses}");
    let answer = client.exec(&id, &["sh", "-c", "echo out; echo err >&2; exit 7"], 30).await.unwrap();
    assert_eq!((answer.stdout.as_slice(), answer.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(answer.exit_code, 7);

    let page =
        node.namespace().command("busybox").args(["wget", "-qO-", &format!("http://{address}/")]).output();
    let page = page.unwrap();
    assert!(page.status.success() && !page.stdout.is_empty(), "the node reaches the pod by its IP: {page:?}");

    let log = node.pod_logs().join("life/machine/0.log");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("mini: boot is done"),
        "the log begins with the console while the guest boots: {text}"
    );

    client.stop(&id, 30).await.unwrap();
    let ended = client.status(&id).await.unwrap();
    assert_eq!(ended.state, i32::from(ContainerState::ContainerExited));
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);

    client.remove(&id).await.unwrap();
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
    assert_eq!(node.inventory().unwrap().beyond(&before), Vec::<String>::new());

    // All of it again is a success: nothing is there any more.
    client.stop(&id, 1).await.unwrap();
    client.remove(&id).await.unwrap();
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
}
