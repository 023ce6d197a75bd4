//! The lists in parts hold what the lists hold.

use proto::runtime::v1 as cri;
use tonic::{Code, Streaming};

use crate::client::{container, pod, spec};

/// Everything that a stream carries. No part of it is empty.
async fn all<P, T>(answer: tonic::Response<Streaming<P>>, items: impl Fn(P) -> Vec<T>) -> (usize, Vec<T>) {
    let (mut stream, mut parts, mut all) = (answer.into_inner(), 0, Vec::new());
    while let Some(part) = stream.message().await.unwrap() {
        let part = items(part);
        assert!(!part.is_empty());
        parts += 1;
        all.extend(part);
    }
    (parts, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_the_list() {
    let (node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let bulky = "x".repeat(200 << 10);
    for number in 0..12 {
        let mut config = pod(&format!("p{number}"), &node.pod_logs());
        config.annotations.insert("example/bulk".into(), bulky.clone());
        let pod_id = client.run_pod(&config).await.unwrap();
        let mut config = container("machine", &image);
        config.annotations.insert("example/bulk".into(), bulky.clone());
        let id = client.create_with(&pod_id, config).await.unwrap();
        client.start(&id).await.unwrap();
    }
    let runtime = &mut client.runtime;
    let listed = runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await.unwrap().into_inner();
    let answer = runtime.stream_pod_sandboxes(cri::StreamPodSandboxesRequest::default()).await.unwrap();
    let (parts, streamed) = all(answer, |part| part.pod_sandboxes).await;
    assert_eq!(streamed, listed.items);
    assert!(parts > 1, "12 pods of 200 KiB are more than a part");

    let listed = runtime.list_containers(cri::ListContainersRequest::default()).await.unwrap().into_inner();
    let answer = runtime.stream_containers(cri::StreamContainersRequest::default()).await.unwrap();
    assert_eq!(all(answer, |part| part.containers).await.1, listed.containers);
    let one = &listed.containers[3].id;
    let filter = Some(cri::ContainerFilter { id: one.clone(), ..Default::default() });
    let answer = runtime.stream_containers(cri::StreamContainersRequest { filter }).await.unwrap();
    let (_, streamed) = all(answer, |part| part.containers).await;
    assert_eq!(streamed.iter().map(|each| &each.id).collect::<Vec<_>>(), [one], "the same selection");

    let about = |stats: &cri::ContainerStats| stats.attributes.as_ref().unwrap().id.clone();
    let request = cri::StreamContainerStatsRequest::default();
    let (parts, stats) =
        all(runtime.stream_container_stats(request).await.unwrap(), |part| part.container_stats).await;
    assert_eq!(
        stats.iter().map(about).collect::<Vec<_>>(),
        listed.containers.iter().map(|each| each.id.clone()).collect::<Vec<_>>()
    );
    assert!(parts > 1);
    let request = cri::StreamPodSandboxStatsRequest::default();
    let answer = runtime.stream_pod_sandbox_stats(request).await.unwrap();
    assert_eq!(all(answer, |part| part.pod_sandbox_stats).await.1.len(), 12);
    let request = cri::StreamPodSandboxMetricsRequest {};
    let answer = runtime.stream_pod_sandbox_metrics(request).await.unwrap();
    assert_eq!(all(answer, |part| part.pod_sandbox_metrics).await.1.len(), 12);

    let listed = client.images.list_images(cri::ListImagesRequest::default()).await.unwrap().into_inner();
    let answer = client.images.stream_images(cri::StreamImagesRequest::default()).await.unwrap();
    assert_eq!(all(answer, |part| part.images).await.1, listed.images);
    let filter = Some(cri::ImageFilter { image: Some(spec("absent/image:1")) });
    let answer = client.images.stream_images(cri::StreamImagesRequest { filter }).await.unwrap();
    assert_eq!(all(answer, |part| part.images).await.0, 0, "nothing is no part at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_cannot_do_is_told_with_the_reason() {
    let (node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("p", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    let request =
        |id: &str| cri::CheckpointContainerRequest { container_id: id.to_owned(), ..Default::default() };
    let error = client.runtime.checkpoint_container(request(&id)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(error.message().contains(&id) && error.message().contains("from inside the guest"), "{error}");
    let error = client.runtime.checkpoint_container(request("nobody")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");

    let network_config = Some(cri::NetworkConfig { pod_cidr: "10.1.0.0/24".into() });
    let runtime_config = Some(cri::RuntimeConfig { network_config });
    client.runtime.update_runtime_config(cri::UpdateRuntimeConfigRequest { runtime_config }).await.unwrap();
    client.runtime.update_runtime_config(cri::UpdateRuntimeConfigRequest::default()).await.unwrap();

    let usage = client.images.image_fs_info(cri::ImageFsInfoRequest {}).await.unwrap().into_inner();
    let (images, containers) = (&usage.image_filesystems[0], &usage.container_filesystems[0]);
    let used = |of: &cri::FilesystemUsage| of.used_bytes.unwrap().value;
    assert!(used(images) > 1 << 20, "an image is there: {images:?}");
    assert!(used(containers) < used(images), "no disk is there: {containers:?}");
    assert_eq!(images.fs_id, containers.fs_id, "both are on one file system");
}
