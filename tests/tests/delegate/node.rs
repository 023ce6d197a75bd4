//! What is told of the runtime itself is told of both.

use std::collections::BTreeSet;

use proto::runtime::v1 as cri;

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

        let descriptors = client.runtime.list_metric_descriptors(cri::ListMetricDescriptorsRequest {}).await;
        let mut known = BTreeSet::new();
        for descriptor in descriptors.unwrap().into_inner().descriptors {
            assert!(known.insert(descriptor.name.clone()), "{} is described twice", descriptor.name);
        }
        assert!(known.contains("infranetes_machine_resident_bytes"), "{known:?}");

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
