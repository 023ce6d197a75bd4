//! What is told of the runtime itself is told of both.

use std::collections::{BTreeMap, BTreeSet};

use proto::runtime::v1 as cri;

use crate::client::{Client, pod, spec};
use crate::mixed::{self, Version};

#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_itself_is_both() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let (mut client, mut direct) = (mixed.client().await, mixed.direct().await);
        let version = client.runtime.version(cri::VersionRequest::default()).await.unwrap().into_inner();
        assert_eq!((version.runtime_name.as_str(), version.version.as_str()), ("infranetes", "0.1.0"));

        let request = cri::StatusRequest { verbose: true };
        let status = client.runtime.status(request).await.unwrap().into_inner();
        let theirs = direct.runtime.status(request).await.unwrap().into_inner();
        let names = status.runtime_handlers.iter().map(|handler| handler.name.as_str());
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(["vm", "", "runc"]));
        let abilities = |status: &cri::StatusResponse, name: &str| {
            status.runtime_handlers.iter().find(|handler| handler.name == name).cloned()
        };
        assert_eq!(
            abilities(&status, "runc"),
            abilities(&theirs, "runc"),
            "what its pods may ask for is theirs to say"
        );
        for (key, value) in &theirs.info {
            assert_eq!(status.info.get(&format!("delegate.{key}")), Some(value), "{key}");
        }
        let about: serde_json::Value = serde_json::from_str(&status.info["delegate"]).unwrap();
        assert_eq!((&about["name"], &about["apiVersion"]), (&"containerd".into(), &"v1".into()), "{about}");
        assert!(status.info.contains_key("config"), "ours stands beside it");

        let config = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
        let theirs = direct.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
        assert!(theirs.linux.is_some(), "it tells its cgroup driver");
        assert_eq!(config, theirs);
        let network = cri::NetworkConfig { pod_cidr: "10.88.0.0/16".into() };
        let update = cri::UpdateRuntimeConfigRequest {
            runtime_config: Some(cri::RuntimeConfig { network_config: Some(network) }),
        };
        client.runtime.update_runtime_config(update).await.unwrap();

        // While it is away the kubelet is told what it was told before.
        mixed.containerd().kill();
        let away = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
        assert_eq!(away, theirs);
        let status = client.runtime.status(request).await.unwrap().into_inner();
        assert!(status.info["delegate"].contains("does not answer"), "{}", status.info["delegate"]);
        assert_eq!(status.runtime_handlers.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_both_fit_one_descriptor() {
    mixed::on(Version::Newest, false, |mixed| async move {
        let mut client = mixed.client().await;
        let (theirs, _) = mixed.ordinary(&mut client, "theirs", "while :; do sleep 1; done").await;
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        let disk = format!("{}/guests/mini:latest", mixed.node.registry());
        let image = Some(cri::ImageSpec { runtime_handler: "vm".into(), ..spec(&disk) });
        let request = cri::PullImageRequest { image, auth: None, sandbox_config: None };
        client.images.pull_image(request).await.unwrap();
        let machine = client.create(&ours, "machine", &disk).await.unwrap();
        client.start(&machine).await.unwrap();

        let labels = labels(&mut client).await;
        assert!(labels.contains_key("infranetes_machine_resident_bytes"), "{labels:?}");
        let metrics = client.runtime.list_pod_sandbox_metrics(cri::ListPodSandboxMetricsRequest {}).await;
        let mut told = BTreeSet::new();
        for of_pod in metrics.unwrap().into_inner().pod_metrics {
            let of_containers = of_pod.container_metrics.iter().flat_map(|each| &each.metrics);
            for metric in of_pod.metrics.iter().chain(of_containers) {
                let keys = &labels[&metric.name];
                assert_eq!(keys.len(), metric.label_values.len(), "{keys:?} of {metric:?}");
                let of = keys.iter().position(|key| key == "pod").expect("it tells the pod");
                told.insert((metric.name.clone(), metric.label_values[of].clone()));
            }
        }
        for pod in ["ours", "theirs"] {
            let both_have = ("container_start_time_seconds".to_owned(), pod.to_owned());
            assert!(told.contains(&both_have), "{pod} is missing: {told:?}");
        }
        for pod in [&ours, &theirs] {
            mixed::remove(&mut client, pod).await;
        }
    })
    .await;
}

/// The labels of each metric.
async fn labels(client: &mut Client) -> BTreeMap<String, Vec<String>> {
    let described = client.runtime.list_metric_descriptors(cri::ListMetricDescriptorsRequest {}).await;
    let mut labels = BTreeMap::new();
    for descriptor in described.unwrap().into_inner().descriptors {
        let before = labels.insert(descriptor.name.clone(), descriptor.label_keys);
        assert_eq!(before, None, "{} is described twice", descriptor.name);
    }
    labels
}
