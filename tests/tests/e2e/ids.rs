//! Names, ids, lists and what the daemon says of itself, on a node where nothing runs.

use std::collections::{BTreeMap, BTreeSet};

use proto::runtime::v1 as cri;
use tests::Node;

use crate::client::{Client, container, pod, spec};

/// A bare node with the mini image pulled.
async fn with_image() -> (Node, Client, String) {
    let (node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    (node, client, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_answers_the_same_id_also_at_once() {
    let (node, mut client, image) = with_image().await;
    let config = pod("same", &node.pod_logs());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (mut client, config) = (client.clone(), config.clone());
        calls.spawn(async move { client.run_pod(&config).await.unwrap() });
    }
    let ids: BTreeSet<String> = calls.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1, "one pod for one name, namespace, uid and attempt: {ids:?}");
    let pod_id = ids.into_iter().next().unwrap();
    assert_eq!(client.run_pod(&config).await.unwrap(), pod_id);

    for change in [
        |metadata: &mut cri::PodSandboxMetadata| metadata.attempt = 1,
        |metadata: &mut cri::PodSandboxMetadata| metadata.uid = "another".into(),
        |metadata: &mut cri::PodSandboxMetadata| metadata.namespace = "another".into(),
    ] {
        let mut other = config.clone();
        change(other.metadata.as_mut().unwrap());
        assert_ne!(client.run_pod(&other).await.unwrap(), pod_id);
    }
    assert_eq!(pods(&mut client, cri::PodSandboxFilter::default()).await.len(), 4);

    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (mut client, pod_id, image) = (client.clone(), pod_id.clone(), image.clone());
        calls.spawn(async move { client.create(&pod_id, "machine", &image).await.unwrap() });
    }
    let ids: BTreeSet<String> = calls.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1, "one container for one name and attempt: {ids:?}");
    assert_eq!(containers(&mut client, cri::ContainerFilter::default()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_id_state_label_and_pod() {
    let (node, mut client, image) = with_image().await;
    let mut ids = Vec::new();
    for (name, tier) in [("one", "front"), ("two", "back")] {
        let mut config = pod(name, &node.pod_logs());
        config.labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
        let pod_id = client.run_pod(&config).await.unwrap();
        let mut machine = container("machine", &image);
        machine.labels = config.labels;
        let id = client.create_with(&pod_id, machine).await.unwrap();
        ids.push((pod_id, id));
    }
    let [(pod_one, one), (pod_two, two)] = ids.try_into().unwrap();
    client.start(&two).await.unwrap();

    let by = |label: &str| BTreeMap::from([("tier".to_owned(), label.to_owned())]);
    let filter = |change: fn(&mut cri::PodSandboxFilter)| {
        let mut filter = cri::PodSandboxFilter::default();
        change(&mut filter);
        filter
    };
    let beginning = cri::PodSandboxFilter { id: pod_one[..20].to_owned(), ..Default::default() };
    assert_eq!(pods(&mut client, beginning).await, [pod_one.as_str()]);
    let front = cri::PodSandboxFilter { label_selector: by("front"), ..Default::default() };
    assert_eq!(pods(&mut client, front).await, [pod_one.as_str()]);
    let neither = cri::PodSandboxFilter { label_selector: by("middle"), ..Default::default() };
    assert_eq!(pods(&mut client, neither).await, Vec::<String>::new());
    client.stop_pod(&pod_two).await.unwrap();
    let not_ready = filter(|filter| {
        let state = cri::PodSandboxState::SandboxNotready.into();
        filter.state = Some(cri::PodSandboxStateValue { state });
    });
    assert_eq!(pods(&mut client, not_ready).await, [pod_two.as_str()]);
    let ready = filter(|filter| {
        let state = cri::PodSandboxState::SandboxReady.into();
        filter.state = Some(cri::PodSandboxStateValue { state });
    });
    assert_eq!(pods(&mut client, ready).await, [pod_one.as_str()]);

    let beginning = cri::ContainerFilter { id: two[..20].to_owned(), ..Default::default() };
    assert_eq!(containers(&mut client, beginning).await, [two.as_str()]);
    let of_pod = cri::ContainerFilter { pod_sandbox_id: pod_one.clone(), ..Default::default() };
    assert_eq!(containers(&mut client, of_pod).await, [one.as_str()]);
    let back = cri::ContainerFilter { label_selector: by("back"), ..Default::default() };
    assert_eq!(containers(&mut client, back).await, [two.as_str()]);
    for (state, id) in
        [(cri::ContainerState::ContainerCreated, &one), (cri::ContainerState::ContainerExited, &two)]
    {
        let state = Some(cri::ContainerStateValue { state: state.into() });
        let in_state = cri::ContainerFilter { state, ..Default::default() };
        assert_eq!(containers(&mut client, in_state).await, [id.as_str()]);
    }

    // People give the beginning of an id, as to any other runtime.
    assert_eq!(client.status(&one[..12]).await.unwrap().id, one);
    assert_eq!(client.pod_status(&pod_one[..12]).await.unwrap().id, pod_one);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kubelet_gives_is_given_back() {
    let (node, mut client, image) = with_image().await;
    let pair = |value: &str| BTreeMap::from([("example.com/key".to_owned(), value.to_owned())]);
    let mut config = pod("echo", &node.pod_logs());
    (config.labels, config.annotations) = (pair("label"), pair("annotation"));
    let pod_id = client.run_pod(&config).await.unwrap();
    let status = client.pod_status(&pod_id).await.unwrap();
    assert_eq!((&status.labels, &status.annotations), (&config.labels, &config.annotations));
    assert_eq!(status.metadata, config.metadata);
    assert_eq!(status.runtime_handler, "vm");

    let mut machine = container("machine", &image);
    (machine.labels, machine.annotations) = (pair("its label"), pair("its annotation"));
    machine.metadata.as_mut().unwrap().attempt = 3;
    machine.mounts = vec![cri::Mount {
        container_path: "/etc/hosts".into(),
        host_path: node.kubelet().join("pods/u/etc-hosts").display().to_string(),
        readonly: true,
        ..Default::default()
    }];
    let id = client.create_with(&pod_id, machine.clone()).await.unwrap();
    let status = client.status(&id).await.unwrap();
    assert_eq!((&status.labels, &status.annotations), (&machine.labels, &machine.annotations));
    assert_eq!(status.mounts, machine.mounts);
    assert_eq!(status.metadata, machine.metadata);
    assert_eq!(status.image.unwrap().image, image);
    assert_eq!(status.image_ref, status.image_id);
    assert_eq!(status.log_path, node.pod_logs().join("echo/machine/0.log").display().to_string());
    let found =
        client.images.image_status(cri::ImageStatusRequest { image: Some(spec(&image)), verbose: true });
    let found = found.await.unwrap().into_inner();
    assert_eq!(found.image.unwrap().id, status.image_ref, "image_ref, image_id and Image.id are one string");
    assert!(found.info["info"].contains("host-keys"), "verbose shows the facts: {}", found.info["info"]);
    let verbose = cri::ContainerStatusRequest { container_id: id.clone(), verbose: true };
    let info = client.runtime.container_status(verbose).await.unwrap().into_inner().info;
    assert!(info["info"].contains(&pod_id), "{info:?}");
    let verbose = cri::PodSandboxStatusRequest { pod_sandbox_id: pod_id, verbose: true };
    let answer = client.runtime.pod_sandbox_status(verbose).await.unwrap().into_inner();
    assert!(answer.info["info"].contains("ssh-ed25519"), "{:?}", answer.info);
    assert!(!answer.info["info"].contains("PRIVATE"), "no private key is ever shown: {:?}", answer.info);
    assert_eq!(answer.containers_statuses.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_of_itself_what_a_kubelet_insists_on() {
    let (_node, mut client) = crate::bare_node_with("[handlers.vm]\nprovider = \"qemu\"").await;
    let version = client.runtime.version(cri::VersionRequest::default()).await.unwrap().into_inner();
    assert_eq!((version.version.as_str(), version.runtime_api_version.as_str()), ("0.1.0", "v1"));
    assert_eq!(version.runtime_name, "infranetes");
    let config = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
    assert_eq!(config.linux, None, "a cgroup driver is told only where the operator says one");

    let status = client.runtime.status(cri::StatusRequest { verbose: true }).await.unwrap().into_inner();
    let handlers: Vec<_> = status.runtime_handlers.iter().map(|handler| handler.name.as_str()).collect();
    assert_eq!(handlers, ["vm"], "the handlers are those of the configuration");
    let conditions = status.status.unwrap().conditions;
    let ready = |kind: &str| conditions.iter().any(|found| found.r#type == kind && found.status);
    assert!(ready("RuntimeReady") && ready("NetworkReady"), "{conditions:?}");
    assert!(status.info.contains_key("config"));
    let usage = client.images.image_fs_info(cri::ImageFsInfoRequest {}).await.unwrap().into_inner();
    let place = usage.image_filesystems[0].fs_id.clone().unwrap().mountpoint;
    assert!(std::path::Path::new(&place).is_dir(), "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cgroup_driver_is_told_where_it_is_configured() {
    let (_node, mut client) = crate::bare_node_with("cgroup-driver = \"cgroupfs\"").await;
    let config = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
    assert_eq!(config.linux.unwrap().cgroup_driver, i32::from(cri::CgroupDriver::Cgroupfs));
    let status = client.runtime.status(cri::StatusRequest::default()).await.unwrap().into_inner();
    let handlers: BTreeSet<_> = status.runtime_handlers.into_iter().map(|handler| handler.name).collect();
    assert_eq!(handlers, BTreeSet::from([String::new(), "vm".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_configuration_is_not_ready_and_says_why() {
    let empty = tempfile::tempdir().unwrap();
    let section = format!("[network]\nmode = \"cni\"\nconf-dir = \"{}\"", empty.path().display());
    let (node, mut client) = crate::bare_node_with(&section).await;
    let status = client.runtime.status(cri::StatusRequest::default()).await.unwrap().into_inner();
    let conditions = status.status.unwrap().conditions;
    let network = conditions.iter().find(|found| found.r#type == "NetworkReady").unwrap();
    assert!(!network.status);
    assert!(network.message.contains(&empty.path().display().to_string()), "{}", network.message);
    let error = client.run_pod(&pod("early", &node.pod_logs())).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert!(error.message().contains(&empty.path().display().to_string()), "{}", error.message());
    assert_eq!(pods(&mut client, cri::PodSandboxFilter::default()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_remove_of_nothing_succeed_and_what_is_asked_of_nothing_is_not_found() {
    let (_node, mut client) = crate::bare_node().await;
    let unknown = "0123456789abcdef0123456789abcdef";
    client.stop(unknown, 1).await.unwrap();
    client.remove(unknown).await.unwrap();
    client.stop_pod(unknown).await.unwrap();
    client.remove_pod(unknown).await.unwrap();
    let image = cri::RemoveImageRequest { image: Some(spec("127.0.0.1:5000/guests/none:1")) };
    client.images.remove_image(image).await.unwrap();
    let absent =
        cri::ImageStatusRequest { image: Some(spec("127.0.0.1:5000/guests/none:1")), verbose: false };
    assert_eq!(client.images.image_status(absent).await.unwrap().into_inner().image, None);

    for error in [
        client.status(unknown).await.unwrap_err(),
        client.pod_status(unknown).await.unwrap_err(),
        client.start(unknown).await.unwrap_err(),
        client.exec(unknown, &["true"], 1).await.unwrap_err(),
        client.create_with(unknown, container("m", "127.0.0.1:5000/guests/none:1")).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), tonic::Code::NotFound, "{error}");
        assert!(error.message().contains("does not exist"), "{error}");
    }
}

async fn pods(client: &mut Client, filter: cri::PodSandboxFilter) -> Vec<String> {
    let request = cri::ListPodSandboxRequest { filter: Some(filter) };
    let items = client.runtime.list_pod_sandbox(request).await.unwrap().into_inner().items;
    items.into_iter().map(|item| item.id).collect()
}

async fn containers(client: &mut Client, filter: cri::ContainerFilter) -> Vec<String> {
    let request = cri::ListContainersRequest { filter: Some(filter) };
    let items = client.runtime.list_containers(request).await.unwrap().into_inner().containers;
    items.into_iter().map(|item| item.id).collect()
}
