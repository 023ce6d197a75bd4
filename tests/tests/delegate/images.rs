//! Images: each side has its own.

use proto::runtime::v1 as cri;
use tonic::Code;

use crate::away;
use crate::client::{Client, pod, spec};
use crate::mixed::{self, IMAGE, Version};

#[tokio::test(flavor = "multi_thread")]
async fn images_are_told_apart() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let disk = format!("{}/guests/mini:latest", mixed.node.registry());
        // By the handler, as a person names it.
        let named = cri::ImageSpec { runtime_handler: "vm".into(), ..spec(&disk) };
        let disk_id = pull(&mut client, named, None).await.unwrap();
        // By nothing: the default handler is theirs.
        let ordinary_id = pull(&mut client, spec(IMAGE), None).await.unwrap();
        let mut listed = names(&mut client).await;
        listed.retain(|name| *name == disk || name == IMAGE);
        assert_eq!(listed, [disk.as_str(), IMAGE]);
        assert_eq!(names(&mut mixed.direct().await).await, [IMAGE], "ours is not theirs");
        assert_eq!(status(&mut client, spec(&disk)).await.as_deref(), Some(disk_id.as_str()));
        assert_eq!(status(&mut client, spec(IMAGE)).await.as_deref(), Some(ordinary_id.as_str()));
        assert_eq!(status(&mut client, spec(&ordinary_id)).await.as_deref(), Some(ordinary_id.as_str()));
        let wrong = cri::ImageSpec { runtime_handler: "runc".into(), ..spec(&disk) };
        assert_eq!(status(&mut client, wrong).await, None, "it is no image of that handler");
        assert_eq!(status(&mut client, spec("registry.k8s.io/nobody:1")).await, None);

        // Nobody pulls for a machine what the kubelet is told of as an ordinary image.
        let vm = client.run_pod(&pod("other", &mixed.node.pod_logs())).await.unwrap();
        let mut container = crate::client::container("main", &ordinary_id);
        container.image.as_mut().unwrap().user_specified_image = IMAGE.to_owned();
        let absent = client.create_with(&vm, container).await.unwrap_err();
        let remedy = format!("`infranetes image pull --handler vm {IMAGE}`");
        assert!(absent.message().contains(&remedy), "{absent}");
        mixed::remove(&mut client, &vm).await;

        // By the pod that it is for, while the delegate is away.
        let config = pod("ours", &mixed.node.pod_logs());
        let pod_id = client.run_pod(&config).await.unwrap();
        remove(&mut client, &disk_id).await;
        assert_eq!(status(&mut client, spec(&disk)).await, None);
        mixed.containerd().kill();
        assert_eq!(status(&mut client, spec(&disk)).await, None, "it is to be pulled");
        assert_eq!(pull(&mut client, spec(&disk), Some(config)).await.unwrap(), disk_id);
        assert_eq!(status(&mut client, spec(IMAGE)).await.as_deref(), Some(ordinary_id.as_str()));
        let away = pull(&mut client, spec(IMAGE), None).await.unwrap_err();
        assert_eq!(away.code(), Code::Unavailable, "{away}");
        let mut known = names(&mut client).await;
        known.retain(|name| *name == disk || name == IMAGE);
        assert_eq!(known, [disk.as_str(), IMAGE]);
        mixed.start_delegate();
        away::well(&mut client).await;

        remove(&mut client, &ordinary_id).await;
        remove(&mut client, "registry.k8s.io/nobody:1").await;
        assert_eq!(names(&mut client).await, [disk]);
        mixed::remove(&mut client, &pod_id).await;
    })
    .await;
}

async fn pull(
    client: &mut Client,
    image: cri::ImageSpec,
    sandbox_config: Option<cri::PodSandboxConfig>,
) -> Result<String, tonic::Status> {
    let request = cri::PullImageRequest { image: Some(image), auth: None, sandbox_config };
    Ok(client.images.pull_image(request).await?.into_inner().image_ref)
}

async fn status(client: &mut Client, image: cri::ImageSpec) -> Option<String> {
    let request = cri::ImageStatusRequest { image: Some(image), verbose: false };
    client.images.image_status(request).await.unwrap().into_inner().image.map(|image| image.id)
}

async fn remove(client: &mut Client, image: &str) {
    let request = cri::RemoveImageRequest { image: Some(spec(image)) };
    client.images.remove_image(request).await.unwrap();
}

/// The tags of all images.
async fn names(client: &mut Client) -> Vec<String> {
    let listed = client.images.list_images(cri::ListImagesRequest::default()).await.unwrap().into_inner();
    listed.images.into_iter().flat_map(|image| image.repo_tags).collect()
}
