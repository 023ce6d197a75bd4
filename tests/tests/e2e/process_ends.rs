//! Processes in a guest that cannot be started, stopped or kept as they should.

use std::time::Duration;

use proto::runtime::v1::{ContainerConfig, ContainerMetadata};
use tokio::time::sleep;
use tonic::Code;

use crate::client::container;
use crate::processes::{Pod, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_the_process_that_it_runs_beside() {
    crate::within(300, beside()).await;
}

async fn beside() {
    let mut pod = Pod::ready("beside").await;
    let config = pod.script("app", "echo begun; exec sleep 1000");
    let app = pod.client.create_with(&pod.id, config).await.unwrap();
    let (mut other, id) = (pod.client.clone(), app.clone());
    let started = tokio::spawn(async move { other.start(&id).await });
    let log = pod.log("app");
    // A probe does not count until it can be answered; a hook is answered as soon as it can be.
    pod.client.wait_for(&app, 30, |status| status.started_at > 0).await;
    let probe = pod.client.exec(&app, &["true"], 1).await.unwrap_err();
    assert_eq!(probe.code(), Code::Unavailable, "{probe}");
    assert!(told(&log, "stdout").is_empty());
    let hook = pod.client.exec(&app, &["sh", "-c", "echo hook"], 0).await.unwrap();
    assert_eq!((hook.exit_code, hook.stdout.as_slice()), (0, b"hook\n".as_slice()));
    started.await.unwrap().unwrap();
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_before_its_guest_answers_never_begins() {
    crate::within(300, early()).await;
}

async fn early() {
    let mut pod = Pod::ready("early").await;
    let config = pod.script("app", "echo begun; exec sleep 1000");
    let app = pod.client.create_with(&pod.id, config).await.unwrap();
    let (mut other, id) = (pod.client.clone(), app.clone());
    let started = tokio::spawn(async move { other.start(&id).await });
    pod.client.wait_for(&app, 30, |status| status.started_at > 0).await;
    // A daemon that was killed cannot know whether the guest was told.
    pod.restart_daemon().await;
    started.abort();
    pod.client.stop(&app, 30).await.unwrap();
    let ended = pod.client.status(&app).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "Killed"), "{}", ended.message);
    let look = pod.script("look", "ps | grep -c '[s]leep 1000'; true");
    let look = pod.start(look).await;
    pod.client.wait_for_end(&look, 120).await;
    assert_eq!(told(&pod.log("look"), "stdout"), ["0"], "it was not started");
    assert!(told(&pod.log("app"), "stdout").is_empty());
    pod.client.remove(&app).await.unwrap();
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_silent_guest_ends_with_its_machine() {
    crate::within(500, silent()).await;
}

async fn silent() {
    let mut pod = Pod::ready("silent").await;
    let app = pod.script("app", "exec sleep 1000");
    let app = pod.start(app).await;
    let machines: Vec<_> =
        std::fs::read_dir(pod.node.dir().join("run/machines/qemu")).unwrap().flatten().collect();
    let [machine] = &machines[..] else { panic!("one machine: {machines:?}") };
    tokio::task::block_in_place(|| pod.node.freeze(&machine.file_name().to_string_lossy())).unwrap();
    // A restart in between changes nothing.
    let (mut stopper, id) = (pod.client.clone(), app.clone());
    let stopping = tokio::spawn(async move { stopper.stop(&id, 1).await });
    sleep(Duration::from_secs(5)).await;
    pod.restart_daemon().await;
    stopping.abort();
    pod.client.stop(&app, 1).await.unwrap();
    let ended = pod.client.status(&app).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "Killed"), "{}", ended.message);
    pod.is_spent().await;
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_are_not_lost_with_a_machine_that_is_made_again() {
    crate::within(400, made_again()).await;
}

async fn made_again() {
    let mut pod = Pod::ready("again").await;
    let init = pod.script("init", "echo prepared > /run/prepared");
    let init = pod.start(init).await;
    pod.client.wait_for_end(&init, 60).await;
    pod.client.create(&pod.id, "machine", &pod.image).await.unwrap();
    // The kubelet was interrupted between creating and starting it.
    let next = ContainerConfig {
        metadata: Some(ContainerMetadata { name: "machine".into(), attempt: 1 }),
        ..container("machine", &pod.image)
    };
    let error = pod.client.create_with(&pod.id, next).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(error.message().contains("makes a new pod"), "{error}");
    pod.is_spent().await;
    let ended = pod.client.status(&init).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "what it did it has done");
    pod.client.stop_pod(&pod.id).await.unwrap();
    pod.client.remove_pod(&pod.id).await.unwrap();

    // And where it is removed.
    pod.id = pod.client.run_pod(&crate::client::pod("anew", &pod.node.pod_logs())).await.unwrap();
    let init = pod.script("init", "true");
    let init = pod.start(init).await;
    pod.client.wait_for_end(&init, 60).await;
    let machine = pod.client.create(&pod.id, "machine", &pod.image).await.unwrap();
    pod.client.remove(&machine).await.unwrap();
    pod.is_spent().await;
    pod.remove().await;
}
