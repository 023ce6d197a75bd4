//! What an earlier boot of a guest left, in a place that survives it.

use guests::process::ProcessState;

use super::contract::{Place, next, script};
use super::servers::Server;

/// Lets a file stand for the boot's id.
const BOOT: &str = "echo first >$1/boot
mount --bind $1/boot /proc/sys/kernel/random/boot_id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_another_boot_is_absent_and_removed() {
    let place = Place::new(Server::openssh_in(&format!("{}\n{BOOT}", super::FRESH), "")).await;
    let spec = script("booted", "echo ready; exec sleep 1006");
    place.start(&spec).await;
    next(&mut place.follow(&spec, None).await).await;
    place.sh("echo second >/proc/sys/kernel/random/boot_id").await;
    assert_eq!(place.state(&spec).await, ProcessState::Absent);
    let mut stream = place.follow(&spec, None).await;
    let error =
        tokio::time::timeout(super::contract::PATIENCE, stream.next()).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("booted"), "{error}");
    assert!(matches!(place.start(&spec).await, ProcessState::Running { .. }));
    assert_eq!(place.sh("ls /run/infranetes").await, "second");
    place.remove(&spec).await;
}
