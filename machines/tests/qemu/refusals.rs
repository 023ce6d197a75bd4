//! Bad input and a node that lacks something: each refusal is told in words that help.

use machines::{DiskFormat, Firmware, MachineSpec, MachineState, Provider, Qemu, Tpm};

use crate::sector::Sector;
use crate::stage::{Stage, config};

async fn refused(change: impl FnOnce(&Stage, &mut MachineSpec)) -> String {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().halt());
    change(&stage, &mut spec);
    let error = stage.qemu.define(&spec).await.unwrap_err();
    assert!(!error.retryable(), "{error}");
    assert_eq!(stage.state().await, MachineState::Absent);
    error.to_string()
}

#[tokio::test]
async fn bad_specifications_are_refused() {
    assert!(refused(|_, spec| spec.cpus = 0).await.contains("0 processors"));
    assert!(refused(|_, spec| spec.memory_mib = 1).await.contains("too small"));
    assert!(refused(|_, spec| spec.firmware = Firmware::Uefi).await.contains("at least 256"));
    assert!(
        refused(|_, spec| spec.disk.base = "/nonexistent".into())
            .await
            .contains("/nonexistent cannot be read")
    );
    assert!(refused(|stage, spec| spec.disk.base = stage.dir.path().into()).await.contains("not a file"));
    assert!(refused(|_, spec| spec.disk.format = DiskFormat::Qcow2).await.contains("not qcow2"));
    assert!(refused(|_, spec| spec.disk.size_bytes = Some(512)).await.contains("smaller than its base"));
    let backed = refused(|stage, spec| {
        let top = stage.dir.path().join("top.qcow2");
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .arg(stage.base())
            .arg(&top)
            .status();
        assert!(made.unwrap().success());
        spec.disk.base = top;
        spec.disk.format = DiskFormat::Qcow2;
    });
    assert!(backed.await.contains("names a backing file"));
}

#[tokio::test]
async fn another_base_for_the_same_machine_is_refused() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().halt());
    stage.qemu.define(&spec).await.unwrap();
    let other = stage.dir.path().join("other.img");
    Sector::new().halt().write(&other);
    spec.disk.base = other;
    assert!(stage.qemu.define(&spec).await.unwrap_err().to_string().contains("destroy it first"));
    stage.close().await;
}

#[tokio::test]
async fn a_qemu_that_does_not_start_is_quoted() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().halt());
    stage.qemu.define(&spec).await.unwrap();
    std::fs::write(stage.file("overlay.qcow2"), "nonsense").unwrap();
    let error = stage.qemu.start(&spec.id).await.unwrap_err();
    assert!(error.retryable());
    assert!(error.to_string().contains("not in qcow2 format"), "{error}");
    assert_eq!(stage.state().await, MachineState::Defined);
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Defined);
    stage.close().await;
}

#[tokio::test]
async fn a_node_that_lacks_something_says_so() {
    let stage = Stage::new();
    let with = |change: fn(&mut machines::QemuConfig)| {
        let mut config = config(&stage.dir);
        change(&mut config);
        Qemu::open(config)
    };
    let no_qemu = with(|config| config.binary = Some("/nonexistent/qemu".into())).unwrap();
    assert!(no_qemu.check().await.unwrap_err().to_string().contains("apt-get install qemu-system-x86"));
    let no_img = with(|config| config.qemu_img = Some("/nonexistent/img".into())).unwrap();
    assert!(no_img.check().await.unwrap_err().to_string().contains("apt-get install qemu-utils"));
    let root = with(|config| config.user = "root".into()).unwrap_err();
    assert!(root.to_string().contains("unprivileged"));

    let far = with(|config| config.run = config.run.join("x".repeat(100))).unwrap();
    let error = far.define(&stage.spec(&Sector::new().halt())).await.unwrap_err();
    assert!(error.to_string().contains("shorter directory for sockets"), "{error}");

    let mut uefi = stage.spec(&Sector::new().halt());
    uefi.firmware = Firmware::Uefi;
    uefi.memory_mib = 256;
    let no_ovmf = with(|config| config.ovmf = Some(("/nonexistent".into(), "/nonexistent".into()))).unwrap();
    assert!(no_ovmf.define(&uefi).await.unwrap_err().to_string().contains("apt-get install ovmf"));
    let mut trusted = stage.spec(&Sector::new().halt());
    trusted.tpm = Tpm::V2;
    let no_swtpm = with(|config| config.swtpm = Some("/nonexistent/swtpm".into())).unwrap();
    assert!(no_swtpm.define(&trusted).await.unwrap_err().to_string().contains("apt-get install swtpm"));
    assert_eq!(stage.qemu.list().await.unwrap(), []);
}
