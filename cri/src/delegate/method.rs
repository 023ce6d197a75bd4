//! What each call of the CRI is about, which decides whose it is.

use super::list::{self, List};

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    /// This daemon.
    Ours,
    /// A new pod, whose handler it tells.
    Run,
    /// A pod, whose id stands first.
    Pod,
    /// A container, whose id stands first.
    Container,
    /// An image that is to be there.
    Pull,
    /// An image that may be there.
    ImageStatus,
    /// An image that is to go.
    RemoveImage,
    /// A list of both sides.
    List(&'static List),
    /// The same in parts.
    Stream(&'static List),
    /// What happens on both sides.
    Events,
    /// How both sides are.
    Status,
    /// What both sides expect of the kubelet.
    Config,
    /// What the kubelet tells both sides.
    UpdateConfig,
}

/// Those calls that are no lists.
const METHODS: [(&str, Method); 27] = [
    ("Version", Method::Ours),
    ("RunPodSandbox", Method::Run),
    ("StopPodSandbox", Method::Pod),
    ("RemovePodSandbox", Method::Pod),
    ("PodSandboxStatus", Method::Pod),
    ("PodSandboxStats", Method::Pod),
    ("PortForward", Method::Pod),
    ("UpdatePodSandboxResources", Method::Pod),
    // Its first field is the pod that the container is to be in.
    ("CreateContainer", Method::Pod),
    ("StartContainer", Method::Container),
    ("StopContainer", Method::Container),
    ("RemoveContainer", Method::Container),
    ("ContainerStatus", Method::Container),
    ("ContainerStats", Method::Container),
    ("UpdateContainerResources", Method::Container),
    ("ReopenContainerLog", Method::Container),
    ("CheckpointContainer", Method::Container),
    ("ExecSync", Method::Container),
    ("Exec", Method::Container),
    ("Attach", Method::Container),
    ("PullImage", Method::Pull),
    ("ImageStatus", Method::ImageStatus),
    ("RemoveImage", Method::RemoveImage),
    ("GetContainerEvents", Method::Events),
    ("Status", Method::Status),
    ("RuntimeConfig", Method::Config),
    ("UpdateRuntimeConfig", Method::UpdateConfig),
];

/// The calls that succeed for what is absent, whatever an older delegate says of it. Their answers are empty.
pub(super) const ENDS: [&str; 4] = ["StopPodSandbox", "RemovePodSandbox", "StopContainer", "RemoveContainer"];

/// The lists that a call changes when it succeeds.
pub(super) fn changed(call: &str) -> &'static [&'static str] {
    match call {
        "RunPodSandbox" => &[list::PODS.path],
        "StopPodSandbox" | "RemovePodSandbox" => &[list::PODS.path, list::CONTAINERS.path],
        "CreateContainer" | "StartContainer" | "StopContainer" | "RemoveContainer" => {
            &[list::CONTAINERS.path]
        }
        "PullImage" | "RemoveImage" => &[list::IMAGES.path],
        _ => &[],
    }
}

/// The call of a path; none where it is none that we know.
pub(super) fn find(path: &str) -> Option<(&'static str, Method)> {
    let (service, name) = path.strip_prefix("/runtime.v1.")?.split_once('/')?;
    if !matches!(service, "RuntimeService" | "ImageService") {
        return None;
    }
    if let Some(found) = METHODS.iter().find(|(known, _)| *known == name) {
        return Some(*found);
    }
    list::ALL.iter().find_map(|list| {
        let unary = list.path.rsplit('/').next().unwrap_or_default();
        match list.stream {
            Some(stream) if stream == name => Some((stream, Method::Stream(list))),
            _ => (unary == name).then_some((unary, Method::List(list))),
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::wire;
    use super::*;

    #[test]
    fn every_call_of_the_protocol_is_known() {
        // FileDescriptorSet.file = 1, FileDescriptorProto.service = 6, ServiceDescriptorProto.name = 1 and method = 2.
        let inside = |message: &Bytes, number: u32| -> Vec<Bytes> {
            let fields = wire::fields(message).map(Result::unwrap);
            fields.filter(|field| field.number == number).filter_map(|field| field.content).collect()
        };
        let mut count = 0;
        for file in inside(&Bytes::from_static(proto::DESCRIPTORS), 1) {
            for service in inside(&file, 6) {
                let name = wire::text(&service, &[1]).unwrap();
                for method in inside(&service, 2) {
                    let path = format!("/runtime.v1.{name}/{}", wire::text(&method, &[1]).unwrap());
                    assert!(find(&path).is_some(), "{path}");
                    count += 1;
                }
            }
        }
        let lists = list::ALL.iter().map(|list| 1 + usize::from(list.stream.is_some())).sum::<usize>();
        assert_eq!(count, METHODS.len() + lists);
    }

    #[test]
    fn what_is_not_the_protocol_is_not_known() {
        for path in ["/runtime.v1.RuntimeService/Fly", "/runtime.v1alpha2.RuntimeService/Version", "/x", ""] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
