//! What a container and its pod may use changes while they run.

use proto::runtime::v1 as cri;
use serde_json::Value;
use tonic::{Code, Status};

use crate::client::{Client, container, pod};

fn size(milli_cpus: i64, memory_mib: i64) -> cri::LinuxContainerResources {
    cri::LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: milli_cpus * 100,
        memory_limit_in_bytes: memory_mib << 20,
        ..Default::default()
    }
}

async fn update(client: &mut Client, id: &str, linux: cri::LinuxContainerResources) -> Result<(), Status> {
    let request = cri::UpdateContainerResourcesRequest {
        container_id: id.to_owned(),
        linux: Some(linux),
        ..Default::default()
    };
    client.runtime.update_container_resources(request).await.map(drop)
}

async fn update_pod(client: &mut Client, id: &str, size: cri::LinuxContainerResources) -> Result<(), Status> {
    let request = cri::UpdatePodSandboxResourcesRequest {
        pod_sandbox_id: id.to_owned(),
        overhead: None,
        resources: Some(size),
    };
    client.runtime.update_pod_sandbox_resources(request).await.map(drop)
}

/// What is in force of a container, by its status.
async fn told(client: &mut Client, id: &str) -> cri::LinuxContainerResources {
    client.status(id).await.unwrap().resources.unwrap().linux.unwrap()
}

/// What is in force of a pod, by what its status tells beyond the protocol.
async fn told_of_pod(client: &mut Client, id: &str) -> Value {
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
    let info = client.runtime.pod_sandbox_status(request).await.unwrap().into_inner().info;
    serde_json::from_str::<Value>(&info["info"]).unwrap()["resources"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let (node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("update", &node.pod_logs())).await.unwrap();
    let mut config = container("machine", &image);
    config.linux = Some(cri::LinuxContainerConfig { resources: Some(size(2000, 256)), ..Default::default() });
    let id = client.create_with(&pod_id, config).await.unwrap();
    update(&mut client, &id, size(1500, 0)).await.unwrap();
    assert_eq!(told(&mut client, &id).await, size(1500, 256), "it boots with this size");
    client.start(&id).await.unwrap();

    // What a CPU manager of the kubelet asks for, and an empty request, change nothing that is kept here.
    let cpuset = cri::LinuxContainerResources { cpuset_cpus: "0-1".into(), ..Default::default() };
    for nothing in [cpuset, size(1500, 256), cri::LinuxContainerResources::default()] {
        update(&mut client, &id, nothing).await.unwrap();
        assert_eq!(told(&mut client, &id).await, size(1500, 256));
    }
    let request = cri::UpdateContainerResourcesRequest { container_id: id.clone(), ..Default::default() };
    client.runtime.update_container_resources(request).await.unwrap();
    update(&mut client, &id, size(0, 128)).await.unwrap();
    assert_eq!(told(&mut client, &id).await, size(1500, 128));
    let lifted = cri::LinuxContainerResources { cpu_quota: -1, ..Default::default() };
    update(&mut client, &id, lifted).await.unwrap();
    assert_eq!(told(&mut client, &id).await, cri::LinuxContainerResources { cpu_period: 0, ..size(0, 128) });
    update_pod(&mut client, &pod_id, size(3000, 512)).await.unwrap();
    assert_eq!(told_of_pod(&mut client, &pod_id).await["memory_bytes"], 512 << 20);

    client.stop(&id, 1).await.unwrap();
    let ended = update(&mut client, &id, size(100, 64)).await.unwrap_err();
    assert!(ended.code() == Code::FailedPrecondition && ended.message().contains("has ended"), "{ended}");
    assert_eq!(told(&mut client, &id).await.memory_limit_in_bytes, 128 << 20);
    assert_eq!(update(&mut client, "nobody", size(1, 1)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(update_pod(&mut client, "nobody", size(1, 1)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_in_a_guest_and_memory_of_its_machine() {
    crate::within(400, changed()).await;
}

async fn changed() {
    let (mut node, mut client) = crate::node_with("[timeouts]\nstart-wait-seconds = 110").await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("update", &node.pod_logs())).await.unwrap();
    let mut config = container("app", &image);
    config.command = ["sleep", "1000"].map(str::to_owned).into();
    config.linux = Some(cri::LinuxContainerConfig { resources: Some(size(500, 64)), ..Default::default() });
    let id = client.create_with(&pod_id, config).await.unwrap();
    client.start(&id).await.unwrap();
    let group = format!("/sys/fs/cgroup/infranetes/{id}");
    let files = format!("cat {group}/cpu.max {group}/memory.max");
    let kept = ["sh", "-c", files.as_str()];
    assert_eq!(client.output(&id, &kept).await, "50000 100000\n67108864");

    update(&mut client, &id, size(250, 48)).await.unwrap();
    assert_eq!(client.output(&id, &kept).await, "25000 100000\n50331648");
    let too_little = cri::LinuxContainerResources { memory_limit_in_bytes: 4096, ..Default::default() };
    let refused = update(&mut client, &id, too_little).await.unwrap_err();
    assert!(
        refused.code() == Code::InvalidArgument && refused.message().contains("the process holds"),
        "{refused}"
    );
    assert_eq!(told(&mut client, &id).await, size(250, 48));

    // The machine gives memory back, and has it again. Little of it, for an emulated guest gives back page by page.
    let ballooned = async |client: &mut Client| {
        let told = client.output(&id, &["grep", "^balloon_.*flate", "/proc/vmstat"]).await;
        let mut pages = told.lines().map(|line| line.split(' ').nth(1).unwrap().parse::<i64>().unwrap());
        (pages.next().unwrap() - pages.next().unwrap()) * 4096
    };
    assert_eq!(ballooned(&mut client).await, 0);
    let too_much = update_pod(&mut client, &pod_id, size(0, 1 << 20)).await.unwrap_err();
    assert!(too_much.message().contains("make its pod anew"), "{too_much}");
    let nobody = update_pod(&mut client, &pod_id, size(500, 0)).await.unwrap_err();
    assert!(nobody.message().contains("give its pod a cgroup"), "{nobody}");
    update_pod(&mut client, &pod_id, size(0, 400)).await.unwrap();
    let given_back = ballooned(&mut client).await;
    assert!(given_back > 0, "it was booted with more than 400 MiB");

    // All of it outlives the daemon.
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    assert_eq!(told(&mut client, &id).await, size(250, 48));
    assert_eq!(told_of_pod(&mut client, &pod_id).await["memory_bytes"], 400 << 20);
    client.wait_for(&id, 30, |status| status.state == i32::from(cri::ContainerState::ContainerRunning)).await;
    assert_eq!(client.output(&id, &kept).await, "25000 100000\n50331648");
    assert_eq!(ballooned(&mut client).await, given_back);
    let lifted =
        cri::LinuxContainerResources { cpu_quota: -1, memory_limit_in_bytes: -1, ..Default::default() };
    update(&mut client, &id, lifted.clone()).await.unwrap();
    assert_eq!(client.output(&id, &kept).await, "max 100000\nmax");
    update_pod(&mut client, &pod_id, lifted).await.unwrap();
    assert_eq!(ballooned(&mut client).await, 0);
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
}
