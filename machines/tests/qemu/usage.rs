//! What a machine uses: its processors' time grows while its guest works.

use std::time::Duration;

use machines::{MachineId, Provider, Usage};

use crate::sector::Sector;
use crate::stage::{Stage, id};

async fn usage(stage: &Stage, id: &MachineId) -> Usage {
    stage.qemu.usage(id).await.unwrap().expect("it runs")
}

#[tokio::test]
async fn a_machine_at_work_uses_its_processor() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().flood());
    assert_eq!(stage.qemu.usage(&spec.id).await.unwrap(), None, "it does not exist");
    stage.qemu.define(&spec).await.unwrap();
    assert_eq!(stage.qemu.usage(&spec.id).await.unwrap(), None, "it does not run");
    stage.qemu.start(&spec.id).await.unwrap();
    let first = usage(&stage, &spec.id).await;
    assert_eq!(first.memory_bytes, 64 << 20);
    assert!(first.resident_bytes > 1 << 20, "{first:?}");
    assert!(first.disk_bytes > 0, "the overlay has a header: {first:?}");
    assert_eq!(first.guest_memory, None, "this guest has no driver");

    let working = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let now = usage(&stage, &spec.id).await;
            if now.vcpu_time > first.vcpu_time + Duration::from_millis(200) {
                return now;
            }
        }
    };
    let second = tokio::time::timeout(Duration::from_mins(2), working).await.expect("its processor works");
    assert!(second.at > first.at);
    // The two are counted apart, each exact to some ticks.
    assert!(second.vcpu_time <= second.process_time + Duration::from_millis(100), "{second:?}");

    stage.reopen();
    assert_eq!(stage.qemu.usage(&spec.id).await.unwrap(), None, "nobody has asked for it since the restart");
    drop(stage.qemu.watch(&id("m")).await.unwrap());
    let third = usage(&stage, &spec.id).await;
    assert!(third.vcpu_time >= second.vcpu_time, "a restart of the daemon takes nothing back: {third:?}");
    stage.force().await;
    assert_eq!(stage.qemu.usage(&spec.id).await.unwrap(), None, "it has ended");
    stage.close().await;
}
