//! A pod of containers and a machine on one node, through the same calls.

use proto::runtime::v1 as cri;
use proto::runtime::v1::{ContainerState, PodSandboxState};
use tonic::Code;

use crate::client::{Client, pod};
use crate::mixed::{self, IMAGE, Mixed, Version};

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_pod_lives_beside_a_machine() {
    mixed::on(Version::Newest, true, |mut mixed| async move {
        let mut client = mixed.client().await;
        let before = mixed.node.inventory().unwrap();
        let image = format!("{}/guests/mini:latest", mixed.node.registry());
        let config = pod("machine", &mixed.node.pod_logs());
        let machine_pod = client.run_pod_by(&config, "vm").await.unwrap();
        // As a kubelet does: the pull is for a pod, and says nothing of a handler.
        let request = cri::PullImageRequest {
            image: Some(crate::client::spec(&image)),
            auth: None,
            sandbox_config: Some(config),
        };
        client.images.pull_image(request).await.unwrap();
        let machine = client.create(&machine_pod, "machine", &image).await.unwrap();
        client.start(&machine).await.unwrap();
        let (ordinary_pod, ordinary) = life(&mixed, &mut client).await;

        assert_eq!(client.output(&machine, &["cat", "/proc/sys/kernel/ostype"]).await, "Linux");
        let address = client.pod_status(&machine_pod).await.unwrap().network.unwrap().ip;
        let get = format!("wget -qO- http://{address}/");
        assert!(!client.output(&ordinary, &["sh", "-c", &get]).await.is_empty(), "it reaches the machine");
        let mut told = figures(&mut client).await;
        told.retain(|id| *id == machine || *id == ordinary);
        assert_eq!(told.len(), 2, "both have figures");

        for pod in [&machine_pod, &ordinary_pod] {
            mixed::remove(&mut client, pod).await;
        }
        assert_eq!(mixed.node.inventory().unwrap().beyond(&before), Vec::<String>::new());
        assert_eq!(mixed.containerd().left(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributions_containerd_serves_too() {
    mixed::on(Version::Distribution, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        let (theirs, id) = life(&mixed, &mut client).await;
        assert_eq!(mixed::pods(&mut client).await, [ours.clone(), theirs.clone()]);
        assert_eq!(figures(&mut client).await, [id]);
        for pod in [&ours, &theirs] {
            mixed::remove(&mut client, pod).await;
        }
        assert_eq!(mixed.containerd().left(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_switched_over_and_back() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        // It was containerd's alone.
        let mut alone = mixed.direct().await;
        let (pod_id, id) = mixed.ordinary(&mut alone, "kept", "while :; do sleep 1; done").await;
        let before = alone.status(&id).await.unwrap();
        let mut client = mixed.client().await;
        assert_eq!(mixed::pods(&mut client).await, [&*pod_id]);
        assert_eq!(client.status(&id).await.unwrap(), before);
        assert_eq!(client.output(&id, &["echo", "here"]).await, "here");
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        mixed::remove(&mut client, &ours).await;

        tokio::task::block_in_place(|| mixed.node.daemon().terminate()).unwrap();
        assert_eq!(mixed::pods(&mut alone).await, [&*pod_id]);
        assert_eq!(alone.status(&id).await.unwrap(), before, "it never noticed");
        mixed::remove(&mut alone, &pod_id).await;
    })
    .await;
}

/// What a kubelet does with an ordinary pod; answers the ids of the pod and of its container, which runs.
async fn life(mixed: &Mixed, client: &mut Client) -> (String, String) {
    let command = "trap 'exit 3' TERM; echo begun; while :; do sleep 0.1; done";
    let (pod_id, id) = mixed.ordinary(client, "ordinary", command).await;
    let status = client.pod_status(&pod_id).await.unwrap();
    assert_eq!(status.state, i32::from(PodSandboxState::SandboxReady));
    assert!(status.network.unwrap().ip.starts_with("10.88."), "it has containerd's network");
    let running = client.status(&id).await.unwrap();
    assert_eq!(running.state, i32::from(ContainerState::ContainerRunning));
    let image = client
        .images
        .image_status(cri::ImageStatusRequest { image: Some(crate::client::spec(IMAGE)), verbose: false });
    let image = image.await.unwrap().into_inner().image.expect("the image is there");
    assert!(image.repo_tags.iter().any(|tag| tag == IMAGE), "{image:?}");

    let log = mixed.node.pod_logs().join("ordinary/main/0.log");
    client.logged(&id, &log, "begun").await;
    let answer = client.exec(&id, &["sh", "-c", "echo out; echo err >&2; exit 7"], 30).await.unwrap();
    assert_eq!((answer.stdout.as_slice(), answer.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(answer.exit_code, 7);
    let exec = cri::ExecRequest {
        container_id: id.clone(),
        cmd: vec!["true".into()],
        stdout: true,
        ..Default::default()
    };
    let url = client.runtime.exec(exec).await.unwrap().into_inner().url;
    assert!(url.starts_with("http://127.0.0.1:"), "the delegate's own address is handed on: {url}");

    // Another container of the same pod, with another name, ends by itself.
    client.stop(&id, 20).await.unwrap();
    let ended = client.status(&id).await.unwrap();
    assert_eq!((ended.state, ended.exit_code), (i32::from(ContainerState::ContainerExited), 3));
    client.remove(&id).await.unwrap();
    let gone = client.status(&id).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    // What is absent on both sides is stopped and removed with success.
    for nobody in [id.as_str(), "0123456789abcdef0123456789abcdef"] {
        client.stop(nobody, 1).await.unwrap();
        client.remove(nobody).await.unwrap();
        client.stop_pod(nobody).await.unwrap();
        client.remove_pod(nobody).await.unwrap();
    }
    let missing = client.pod_status("0123456789abcdef0123456789abcdef").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "{missing}");

    let again = cri::ContainerConfig {
        command: ["sleep", "1000"].map(str::to_owned).into(),
        linux: Some(cri::LinuxContainerConfig::default()),
        ..crate::client::container("again", IMAGE)
    };
    let request = cri::CreateContainerRequest {
        pod_sandbox_id: pod_id.clone(),
        config: Some(again),
        sandbox_config: Some(pod("ordinary", &mixed.node.pod_logs())),
    };
    let id = client.runtime.create_container(request).await.unwrap().into_inner().container_id;
    client.start(&id).await.unwrap();
    (pod_id, id)
}

/// The containers that have figures.
async fn figures(client: &mut Client) -> Vec<String> {
    let listed = client.runtime.list_container_stats(cri::ListContainerStatsRequest::default()).await;
    let stats = listed.expect("figures").into_inner().stats;
    stats.into_iter().filter_map(|stats| Some(stats.attributes?.id)).collect()
}
