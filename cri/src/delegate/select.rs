//! Which of the pods, containers and images that are known from before a list is asked for: as the delegate would choose.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::runtime::v1::{
    Container, ContainerFilter, Image, ImageFilter, ListContainersRequest, ListImagesRequest,
    ListPodSandboxRequest, PodSandbox, PodSandboxFilter,
};

use super::list::{CONTAINERS, IMAGES, ITEMS, List, PODS};
use super::wire;
use crate::convert::selects;

/// What of a known answer the request asks for. What cannot be read matches nothing.
pub(super) fn matching(list: &List, request: &Bytes, known: &Bytes) -> Bytes {
    if request.is_empty() {
        return known.clone();
    }
    let mut matching = BytesMut::new();
    for field in wire::fields(known).flatten() {
        if let Some(item) = field.content.filter(|_| field.number == ITEMS)
            && matches(list, request, &item) == Some(true)
        {
            matching.put(field.whole);
        }
    }
    matching.freeze()
}

fn matches(list: &List, request: &Bytes, item: &Bytes) -> Option<bool> {
    let (request, item) = (request.clone(), item.clone());
    if list.path == PODS.path {
        let filter = ListPodSandboxRequest::decode(request).ok()?.filter.unwrap_or_default();
        Some(pod(&filter, &PodSandbox::decode(item).ok()?))
    } else if list.path == CONTAINERS.path {
        let filter = ListContainersRequest::decode(request).ok()?.filter.unwrap_or_default();
        Some(container(&filter, &Container::decode(item).ok()?))
    } else if list.path == IMAGES.path {
        let filter = ListImagesRequest::decode(request).ok()?.filter.unwrap_or_default();
        Some(image(&filter, &Image::decode(item).ok()?))
    } else {
        None
    }
}

fn pod(filter: &PodSandboxFilter, pod: &PodSandbox) -> bool {
    let PodSandboxFilter { id, state, label_selector } = filter;
    pod.id.starts_with(id)
        && state.is_none_or(|wanted| wanted.state == pod.state)
        && selects(label_selector, &pod.labels)
}

fn container(filter: &ContainerFilter, container: &Container) -> bool {
    let ContainerFilter { id, state, pod_sandbox_id, label_selector } = filter;
    container.id.starts_with(id)
        && container.pod_sandbox_id.starts_with(pod_sandbox_id)
        && state.is_none_or(|wanted| wanted.state == container.state)
        && selects(label_selector, &container.labels)
}

fn image(filter: &ImageFilter, image: &Image) -> bool {
    let ImageFilter { image: wanted } = filter;
    wanted.as_ref().is_none_or(|wanted| wanted.image.is_empty() || is_called(image, &wanted.image))
}

/// Whether it is the image of this name or id. A kubelet asks for `busybox`, and `docker.io/library/busybox:latest` is listed.
pub(super) fn is_called(image: &Image, name: &str) -> bool {
    let full = images::normalize(name).ok();
    let known = |known: &String| known == name || Some(known) == full.as_ref();
    image.id == name || image.repo_tags.iter().chain(&image.repo_digests).any(known)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::runtime::v1::{ListContainersResponse, ListPodSandboxResponse, PodSandboxStateValue};

    use super::*;

    #[test]
    fn pods_are_chosen_as_the_filter_says() {
        let named = |id: &str, state, label: &str| PodSandbox {
            id: id.into(),
            state,
            labels: BTreeMap::from([("app".into(), label.into())]),
            ..Default::default()
        };
        let items = vec![named("a1", 0, "x"), named("a2", 1, "x"), named("b1", 0, "y")];
        let known = Bytes::from(ListPodSandboxResponse { items }.encode_to_vec());
        let chosen = |filter: PodSandboxFilter| -> Vec<String> {
            let request = ListPodSandboxRequest { filter: Some(filter) }.encode_to_vec();
            let answer = matching(&PODS, &request.into(), &known);
            ListPodSandboxResponse::decode(answer).unwrap().items.into_iter().map(|pod| pod.id).collect()
        };
        assert_eq!(chosen(PodSandboxFilter::default()), ["a1", "a2", "b1"]);
        assert_eq!(chosen(PodSandboxFilter { id: "a".into(), ..Default::default() }), ["a1", "a2"]);
        let ready = PodSandboxFilter { state: Some(PodSandboxStateValue { state: 0 }), ..Default::default() };
        assert_eq!(chosen(ready), ["a1", "b1"]);
        let label_selector = BTreeMap::from([("app".into(), "y".into())]);
        assert_eq!(chosen(PodSandboxFilter { label_selector, ..Default::default() }), ["b1"]);
    }

    #[test]
    fn containers_of_a_pod_and_images_of_a_name_are_found() {
        let of = |pod: &str| Container {
            id: format!("c-{pod}"),
            pod_sandbox_id: pod.into(),
            ..Default::default()
        };
        let known = ListContainersResponse { containers: vec![of("p1"), of("p2")] }.encode_to_vec();
        let filter = ContainerFilter { pod_sandbox_id: "p2".into(), ..Default::default() };
        let request = ListContainersRequest { filter: Some(filter) }.encode_to_vec();
        let answer = matching(&CONTAINERS, &request.into(), &known.into());
        assert_eq!(ListContainersResponse::decode(answer).unwrap().containers, [of("p2")]);
        let image = Image { id: "sha256:1".into(), repo_tags: vec!["r/a:1".into()], ..Default::default() };
        assert!(is_called(&image, "r/a:1") && is_called(&image, "sha256:1") && !is_called(&image, "r/a:2"));
        for (name, wanted) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app@sha256:1", "localhost/app@sha256:1"),
            ("r:5000/a/b", "r:5000/a/b:latest"),
        ] {
            let image = Image { repo_tags: vec![wanted.into()], ..Default::default() };
            assert!(is_called(&image, name), "{name} is {:?}", images::normalize(name));
        }
    }
}
