//! What this runtime does not offer says so by name, so that a kubelet falls back and a person knows what is missing.

use proto::runtime::v1 as cri;
use tonic::{Code, Status};

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_that_is_not_offered_says_so_by_name() {
    let (_node, client) = crate::bare_node().await;
    let mut seen = Vec::new();
    macro_rules! refused {
        ($service:ident: $($call:ident($request:ident) = $name:literal,)+) => {$({
            let answer = client.clone().$service.$call(cri::$request::default()).await;
            seen.push(($name, answer.map(drop).expect_err($name)));
        })+};
    }
    refused! { runtime:
        update_container_resources(UpdateContainerResourcesRequest) = "UpdateContainerResources",
        update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) = "UpdatePodSandboxResources",
    }
    for (name, status) in seen {
        check(name, &status);
    }
}

fn check(name: &str, status: &Status) {
    assert_eq!(status.code(), Code::Unimplemented, "{name}: {status}");
    assert_eq!(status.message(), format!("{name} is not implemented"));
}
