//! Bad input: each refusal names the thing and the remedy, and nothing is left of what was refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proto::runtime::v1 as cri;
use tests::Node;
use tonic::{Code, Status};

use crate::client::{Client, container, pod, spec};

/// Reads a refusal: its code, and every part that its message must have.
#[track_caller]
fn read(status: &Status, code: Code, parts: &[&str]) {
    assert_eq!(status.code(), code, "{status}");
    for part in parts {
        assert!(status.message().contains(part), "{part:?} is not in: {}", status.message());
    }
}

async fn mini(node: &Node, client: &mut Client) -> String {
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    image
}

/// A pod with these namespaces.
fn with_namespaces(node: &Node, change: impl FnOnce(&mut cri::NamespaceOption)) -> cri::PodSandboxConfig {
    let mut options = cri::NamespaceOption::default();
    change(&mut options);
    let security_context =
        cri::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
    let linux = cri::LinuxPodSandboxConfig { security_context: Some(security_context), ..Default::default() };
    cri::PodSandboxConfig { linux: Some(linux), ..pod("refused", &node.pod_logs()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_a_machine_cannot_be_is_refused() {
    let (node, mut client) = crate::bare_node_with("allowed-annotations = [\"infranetes.io/log\"]").await;
    let host = i32::from(cri::NamespaceMode::Node);
    let user = Some(cri::UserNamespace { mode: cri::NamespaceMode::Pod.into(), ..Default::default() });
    let plain = || pod("refused", &node.pod_logs());
    let annotated = |name: &str, value: &str| cri::PodSandboxConfig {
        annotations: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..plain()
    };
    let linux = |change: fn(&mut cri::LinuxPodSandboxConfig)| {
        let mut linux = cri::LinuxPodSandboxConfig::default();
        change(&mut linux);
        cri::PodSandboxConfig { linux: Some(linux), ..plain() }
    };
    let port = |change: fn(&mut cri::PortMapping)| {
        let mut port = cri::PortMapping { container_port: 80, host_port: 8080, ..Default::default() };
        change(&mut port);
        cri::PodSandboxConfig { port_mappings: vec![port], ..plain() }
    };
    let named = |change: fn(&mut cri::PodSandboxMetadata)| {
        let mut config = plain();
        change(config.metadata.as_mut().unwrap());
        config
    };
    let cases: Vec<(cri::PodSandboxConfig, &[&str])> = vec![
        (with_namespaces(&node, |o| o.network = host), &["hostNetwork is not possible", "RuntimeClass"]),
        (with_namespaces(&node, |o| o.pid = host), &["hostPID is not possible", "remove it"]),
        (with_namespaces(&node, |o| o.ipc = host), &["hostIPC is not possible", "remove it"]),
        (with_namespaces(&node, |o| o.userns_options = user), &["hostUsers: false", "remove it"]),
        (
            linux(|l| l.sysctls = BTreeMap::from([("net.core..somaxconn".into(), "9".into())])),
            &["sysctl \"net.core..somaxconn\"", "is not a name"],
        ),
        (linux(|l| l.cgroup_parent = "/kubepods/../../x".into()), &["cgroup_parent", "without `..`"]),
        (
            annotated("infranetes.io/lag", "x"),
            &["infranetes.io/lag does not exist", "infranetes.io/log, infranetes.io/on-reset"],
        ),
        (
            annotated("infranetes.io/on-reset", "continue"),
            &["infranetes.io/on-reset is not allowed on this node", "allowed-annotations"],
        ),
        (
            cri::PodSandboxConfig { hostname: "a b".into(), ..plain() },
            &["hostname \"a b\"", "letters, digits"],
        ),
        (port(|p| p.host_port = 70_000), &["host_port 70000 is not a port number"]),
        (port(|p| p.container_port = -1), &["container_port -1 is not a port number"]),
        (port(|p| p.protocol = 9), &["unknown protocol 9"]),
        (named(|m| m.name = String::new()), &["config.metadata.name is empty"]),
        (named(|m| m.namespace = String::new()), &["config.metadata.namespace is empty"]),
        (cri::PodSandboxConfig { metadata: None, ..plain() }, &["no config.metadata"]),
    ];
    for (config, parts) in cases {
        read(&client.run_pod(&config).await.unwrap_err(), Code::InvalidArgument, parts);
    }
    let unknown = cri::RunPodSandboxRequest { config: Some(plain()), runtime_handler: "vm-elsewhere".into() };
    let error = client.runtime.run_pod_sandbox(unknown).await.unwrap_err();
    let parts =
        &["runtime handler \"vm-elsewhere\" is not configured", "\"vm\"", "add [handlers.vm-elsewhere]"];
    read(&error, Code::InvalidArgument, parts);
    let error = client.runtime.run_pod_sandbox(cri::RunPodSandboxRequest::default()).await.unwrap_err();
    read(&error, Code::InvalidArgument, &["no config"]);

    let listed = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await.unwrap();
    assert!(listed.into_inner().items.is_empty(), "nothing is left of what was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_a_machine_cannot_be_is_refused() {
    let (node, mut client) = crate::bare_node().await;
    let image = mini(&node, &mut client).await;
    let pod_id = client.run_pod(&pod("p", &node.pod_logs())).await.unwrap();
    let plain = || container("machine", &image);
    let limit = |memory_limit_in_bytes: i64| {
        let resources = Some(cri::LinuxContainerResources { memory_limit_in_bytes, ..Default::default() });
        let linux = Some(cri::LinuxContainerConfig { resources, ..Default::default() });
        cri::ContainerConfig { linux, ..plain() }
    };
    let process = |argv: &[&str]| cri::ContainerConfig {
        command: argv.iter().map(|&word| word.to_owned()).collect(),
        ..plain()
    };
    let security = cri::LinuxContainerSecurityContext { readonly_rootfs: true, ..Default::default() };
    let read_only = cri::LinuxContainerConfig { security_context: Some(security), ..Default::default() };
    let device = cri::Device {
        host_path: "/dev/vdb".into(),
        container_path: "/dev/data".into(),
        ..Default::default()
    };
    let mounted = |mount: cri::Mount| cri::ContainerConfig { mounts: vec![mount], ..plain() };
    let volume = |path: &Path| {
        let host_path = path.display().to_string();
        mounted(cri::Mount { container_path: "/data".into(), host_path, ..Default::default() })
    };
    let of_pod = node.kubelet().join("pods/some-uid");
    fs::create_dir_all(of_pod.join("volumes/kubernetes.io~empty-dir/scratch")).unwrap();
    let model = cri::Mount {
        container_path: "/model".into(),
        image: Some(spec("registry.example/model:1")),
        ..Default::default()
    };
    let cases: Vec<(cri::ContainerConfig, &[&str])> = vec![
        (process(&["sleep", "9"]), &["no way into its guests", "leave `command` and `args` out"]),
        (process(&["", "9"]), &["empty word", "name a program"]),
        (
            cri::ContainerConfig { working_dir: "here".into(), ..process(&["true"]) },
            &["working_dir \"here\"", "absolute path"],
        ),
        (
            cri::ContainerConfig { linux: Some(read_only), ..process(&["true"]) },
            &["readOnlyRootFilesystem", "remove it"],
        ),
        (
            cri::ContainerConfig { devices: vec![device], ..plain() },
            &["/dev/vdb as /dev/data", "remove its `volumeDevices`"],
        ),
        (
            cri::ContainerConfig { cdi_devices: vec![cri::CdiDevice { name: "v/c=1".into() }], ..plain() },
            &["devices of the node (v/c=1)"],
        ),
        (volume(Path::new("/srv/data")), &["/data is the hostPath \"/srv/data\"", "remove this one"]),
        (volume(&of_pod.join("volumes/kubernetes.io~nfs/share")), &["the NFS volume \"share\"", "emptyDir"]),
        (
            volume(&of_pod.join("volumes/kubernetes.io~csi/pvc-1/mount")),
            &["the CSI volume \"pvc-1\"", "RuntimeClass"],
        ),
        (
            volume(&of_pod.join("volume-subpaths/scratch/machine/0")),
            &["a subPath of the emptyDir volume \"scratch\""],
        ),
        (mounted(model), &["the image volume \"registry.example/model:1\""]),
        (cri::ContainerConfig { log_path: "../../../x.log".into(), ..plain() }, &["log_path", "relative"]),
        (cri::ContainerConfig { log_path: "/var/log/x.log".into(), ..plain() }, &["/var/log/x.log"]),
        (limit(16 << 20), &["memory limit of 16 MiB is too small", "at least 32 MiB"]),
        (cri::ContainerConfig { metadata: None, ..plain() }, &["no config.metadata"]),
        (container("", &image), &["config.metadata.name is empty"]),
        (cri::ContainerConfig { image: None, ..plain() }, &["no config.image"]),
        (container("machine", ""), &["config.image.image is empty"]),
    ];
    for (config, parts) in cases {
        read(&client.create_with(&pod_id, config).await.unwrap_err(), Code::InvalidArgument, parts);
    }
    let absent = format!("{}/guests/absent:1", node.registry());
    let error = client.create(&pod_id, "machine", &absent).await.unwrap_err();
    read(&error, Code::NotFound, &["image", "guests/absent:1", "does not exist"]);
    for (name, value, parts) in [
        ("infranetes.io/log", "syslog", &["\"syslog\"", "journal:UNIT"][..]),
        ("infranetes.io/on-reset", "panic", &["infranetes.io/on-reset", "panic", "continue"][..]),
        ("infranetes.io/boot-deadline-seconds", "soon", &["\"soon\"", "number of seconds"][..]),
    ] {
        let mut config = pod(value, &node.pod_logs());
        config.annotations = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let error = match client.run_pod(&config).await {
            Ok(pod_id) => client.create(&pod_id, "machine", &image).await.unwrap_err(),
            Err(error) => error,
        };
        read(&error, Code::InvalidArgument, parts);
    }
    let listed = client.runtime.list_containers(cri::ListContainersRequest::default()).await.unwrap();
    assert!(listed.into_inner().containers.is_empty(), "nothing is left of what was refused");
    let leased = node.inventory().unwrap().0.into_iter().filter(|line| line.contains("leases"));
    assert_eq!(leased.collect::<Vec<_>>(), Vec::<String>::new());

    let first = client.create(&pod_id, "machine", &image).await.unwrap();
    let error = client.create(&pod_id, "second", &image).await.unwrap_err();
    read(&error, Code::InvalidArgument, &["\"machine\"", "give \"second\" one"]);
    assert_eq!(client.create(&pod_id, "machine", &image).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_fit_the_state_are_refused() {
    let (node, mut client) = crate::bare_node().await;
    let image = mini(&node, &mut client).await;
    let config = pod("p", &node.pod_logs());
    let pod_id = client.run_pod(&config).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    let error = client.exec(&id, &["true"], 5).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &[&id, "does not run"]);
    let reopen = cri::ReopenContainerLogRequest { container_id: id.clone() };
    let error = client.runtime.reopen_container_log(reopen.clone()).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &[&id, "only a running container"]);
    let error = client.exec(&id, &[], 5).await.unwrap_err();
    read(&error, Code::InvalidArgument, &["cmd is empty"]);

    client.start(&id).await.unwrap();
    client.start(&id).await.unwrap();
    client.stop(&id, 0).await.unwrap();
    let error = client.start(&id).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &[&id, "has ended"]);
    let error = client.exec(&id, &["true"], 5).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &["does not run"]);
    let error = client.runtime.reopen_container_log(reopen).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &["only a running container"]);

    client.stop_pod(&pod_id).await.unwrap();
    let error = client.create(&pod_id, "again", &image).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &[&pod_id, "is not ready"]);
    let error = client.run_pod(&config).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &[&pod_id, "raise the attempt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_cannot_be_had_are_refused() {
    let (node, mut client) = crate::bare_node().await;
    let image = mini(&node, &mut client).await;
    let registry = node.registry().to_owned();
    for absent in ["guests/absent:latest", "guests/mini:no-such-tag"] {
        let absent = format!("{registry}/{absent}");
        let error = client.pull(&absent).await.unwrap_err();
        read(&error, Code::NotFound, &[&absent]);
    }
    for bad in ["UPPER/case", "a://b", "x/y:tag with spaces", "-x", "../../etc"] {
        let error = client.pull(bad).await.unwrap_err();
        read(&error, Code::InvalidArgument, &[bad]);
    }
    let error = client.pull("infranetes.local/legacy/app:1").await.unwrap_err();
    read(&error, Code::NotFound, &["infranetes.local/legacy/app:1", "import"]);
    let error = client.pull("127.0.0.1:9/guests/mini:latest").await.unwrap_err();
    assert!(error.message().contains("127.0.0.1:9"), "{error}");
    let auth = cri::AuthConfig { auth: "no base64!".into(), ..Default::default() };
    let request = cri::PullImageRequest { image: Some(spec(&image)), auth: Some(auth), sandbox_config: None };
    let error = client.images.pull_image(request).await.unwrap_err();
    read(&error, Code::InvalidArgument, &["base64 of user:password"]);
    assert!(!error.message().contains("no base64!"), "a secret is never told: {error}");

    let pod_id = client.run_pod(&pod("p", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    let remove = cri::RemoveImageRequest { image: Some(spec(&image)) };
    let error = client.images.remove_image(remove.clone()).await.unwrap_err();
    read(&error, Code::FailedPrecondition, &["in use", &id, "remove them first"]);
    client.remove(&id).await.unwrap();
    client.images.remove_image(remove).await.unwrap();
    let listed = client.images.list_images(cri::ListImagesRequest::default()).await.unwrap();
    assert!(listed.into_inner().images.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_id_is_refused_by_its_field() {
    let (_node, mut client) = crate::bare_node().await;
    let reopen = cri::ReopenContainerLogRequest::default();
    let no_image = cri::ImageStatusRequest::default();
    let empty_image = cri::RemoveImageRequest { image: Some(spec("")) };
    for (error, field) in [
        (client.stop("", 0).await.unwrap_err(), "container_id is empty"),
        (client.remove("").await.unwrap_err(), "container_id is empty"),
        (client.start("").await.unwrap_err(), "container_id is empty"),
        (client.status("").await.unwrap_err(), "container_id is empty"),
        (client.exec("", &["true"], 1).await.unwrap_err(), "container_id is empty"),
        (client.runtime.reopen_container_log(reopen).await.unwrap_err(), "container_id is empty"),
        (client.stop_pod("").await.unwrap_err(), "pod_sandbox_id is empty"),
        (client.remove_pod("").await.unwrap_err(), "pod_sandbox_id is empty"),
        (client.pod_status("").await.unwrap_err(), "pod_sandbox_id is empty"),
        (client.create("", "machine", "image").await.unwrap_err(), "pod_sandbox_id is empty"),
        (client.pull("").await.unwrap_err(), "image.image is empty"),
        (client.images.image_status(no_image).await.unwrap_err(), "no image"),
        (client.images.remove_image(empty_image).await.unwrap_err(), "image.image is empty"),
    ] {
        read(&error, Code::InvalidArgument, &[field]);
    }
}
