//! Lists of both sides: complete, in a stable order, nothing twice, and as the filter says.

use std::collections::BTreeMap;

use proto::runtime::v1 as cri;
use tokio_stream::StreamExt as _;

use crate::client::{Client, pod};
use crate::mixed::{self, Version};

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_in_one_list() {
    mixed::on(Version::Newest, false, |mixed| async move {
        let mut client = mixed.client().await;
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for number in 0..4 {
            let mut config = pod(&format!("p{number}"), &mixed.node.pod_logs());
            config.labels.insert("half".into(), (number / 2).to_string());
            ours.push(client.run_pod(&config).await.unwrap());
            config.metadata.as_mut().unwrap().name.insert(0, 'c');
            theirs.push(client.run_pod_by(&config, "runc").await.unwrap());
        }
        let label = |half: &str| cri::PodSandboxFilter {
            label_selector: BTreeMap::from([("half".into(), half.into())]),
            ..Default::default()
        };
        let id = |id: &str| cri::PodSandboxFilter { id: id.into(), ..Default::default() };
        let both = |part: std::ops::Range<usize>| {
            let sorted = |ids: &[String]| {
                let mut ids = ids.to_vec();
                ids.sort();
                ids
            };
            [sorted(&ours[part.clone()]), sorted(&theirs[part])].concat()
        };
        for _ in 0..5 {
            assert_eq!(listed(&mut client, None).await, both(0..4), "ours, then theirs, in the order of ids");
        }
        assert_eq!(listed(&mut client, Some(label("1"))).await, both(2..4));
        assert_eq!(listed(&mut client, Some(id(&theirs[2]))).await, [theirs[2].clone()]);
        assert_eq!(listed(&mut client, Some(id(&ours[2]))).await, [ours[2].clone()]);
        assert_eq!(streamed(&mut client, None).await, both(0..4));
        assert_eq!(streamed(&mut client, Some(label("0"))).await, both(0..2));

        client.stop_pod(&theirs[0]).await.unwrap();
        let state = cri::PodSandboxState::SandboxNotready.into();
        let stopped =
            cri::PodSandboxFilter { state: Some(cri::PodSandboxStateValue { state }), ..Default::default() };
        assert_eq!(listed(&mut client, Some(stopped)).await, [theirs[0].clone()]);

        let filesystems = client.images.image_fs_info(cri::ImageFsInfoRequest {}).await.unwrap().into_inner();
        let places: Vec<_> = filesystems.image_filesystems.into_iter().filter_map(|it| it.fs_id).collect();
        let has = |part: &str| places.iter().any(|place| place.mountpoint.contains(part));
        assert!(has("state/images") && has("containerd/root"), "{places:?}");
        for pod in ours.iter().chain(&theirs) {
            mixed::remove(&mut client, pod).await;
        }
    })
    .await;
}

async fn listed(client: &mut Client, filter: Option<cri::PodSandboxFilter>) -> Vec<String> {
    let listed = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter }).await;
    listed.unwrap().into_inner().items.into_iter().map(|pod| pod.id).collect()
}

async fn streamed(client: &mut Client, filter: Option<cri::PodSandboxFilter>) -> Vec<String> {
    let parts = client.runtime.stream_pod_sandboxes(cri::StreamPodSandboxesRequest { filter }).await;
    let parts: Vec<_> = parts.unwrap().into_inner().collect().await;
    let pods = parts.into_iter().flat_map(|part| part.unwrap().pod_sandboxes);
    pods.map(|pod| pod.id).collect()
}
