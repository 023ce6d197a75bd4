//! Every kind of machine boots from its own disk.

use machines::{Accel, Cause, Clock, DiskBus, DiskFormat, Firmware, OnReset, Provider, Qemu, Seed, SeedForm};

use crate::efi;
use crate::sector::Sector;
use crate::stage::{Stage, config};

#[tokio::test]
async fn every_disk_bus_boots() {
    for bus in [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Ide] {
        let stage = Stage::new();
        let mut spec = stage.spec(&Sector::new().say("booted").write_to_disk().power_off());
        spec.disk.bus = bus;
        spec.cpus = 2;
        // A second disk must not be booted from, nor disturb the first.
        spec.seed = Some(Seed {
            form: SeedForm::NoCloud,
            user_data: "u".into(),
            meta_data: "m".into(),
            network_config: "n".into(),
        });
        stage.start(&spec).await;
        assert_eq!(stage.ended().await.cause, Cause::PoweredOff, "{bus:?}");
        stage.console_says("booted").await;
        stage.close().await;
    }
}

#[tokio::test]
async fn a_qcow2_base_boots_and_grows() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("booted").power_off());
    let base = stage.dir.path().join("base.qcow2");
    let convert = std::process::Command::new("qemu-img")
        .args(["convert", "-O", "qcow2"])
        .arg(stage.base())
        .arg(&base)
        .status();
    assert!(convert.unwrap().success());
    let before = std::fs::read(&base).unwrap();
    spec.disk.base.clone_from(&base);
    spec.disk.format = DiskFormat::Qcow2;
    spec.disk.size_bytes = Some(64 << 20);
    stage.start(&spec).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("booted").await;
    let info = std::process::Command::new("qemu-img")
        .args(["info", "--output=json"])
        .arg(stage.file("overlay.qcow2"))
        .output()
        .unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["virtual-size"], 64 << 20);
    assert_eq!(info["backing-filename-format"], "qcow2");
    assert_eq!(std::fs::read(&base).unwrap(), before, "the base image was written to");
    stage.close().await;
}

#[tokio::test]
async fn uefi_firmware_runs_with_variables_of_its_own() {
    for bus in [DiskBus::Virtio, DiskBus::Ide] {
        let stage = Stage::new();
        let mut spec = stage.spec(&Sector::new().halt());
        spec.firmware = Firmware::Uefi;
        spec.memory_mib = 256;
        spec.disk.bus = bus;
        spec.on_reset = OnReset::Continue;
        stage.start(&spec).await;
        stage.console_says("BdsDxe").await;
        assert!(stage.file("vars.fd").exists());
        stage.close().await;
    }
}

#[tokio::test]
async fn secure_boot_starts_nothing_without_a_signature() {
    for firmware in [Firmware::Uefi, Firmware::UefiSecure] {
        let stage = Stage::new();
        let mut spec = stage.spec(&Sector::new());
        std::fs::write(stage.base(), efi::disk("a program runs")).unwrap();
        (spec.firmware, spec.memory_mib) = (firmware, 256);
        stage.start(&spec).await;
        if firmware == Firmware::Uefi {
            stage.console_says("a program runs").await;
            assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
        } else {
            stage.console_says("Access Denied").await;
        }
        stage.close().await;
    }
}

#[tokio::test]
async fn what_windows_wants_boots() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("booted").power_off());
    (spec.clock, spec.hyper_v, spec.disk.bus) = (Clock::Local, true, DiskBus::Sata);
    stage.start(&spec).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("booted").await;
    stage.close().await;
}

#[tokio::test]
async fn the_seed_is_a_cidata_volume() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().halt());
    spec.seed = Some(Seed {
        form: SeedForm::NoCloud,
        user_data: "#cloud-config\n".into(),
        meta_data: "instance-id: m\n".into(),
        network_config: "version: 2\n".into(),
    });
    stage.qemu.define(&spec).await.unwrap();
    assert!(std::fs::metadata(stage.file("seed.img")).unwrap().len() < 1 << 20);
    let read = std::process::Command::new("mcopy")
        .args(["-n", "-i"])
        .arg(stage.file("seed.img"))
        .args(["::user-data", "::meta-data", "::network-config"])
        .arg(stage.dir.path())
        .status();
    assert!(read.expect("apt-get install mtools").success());
    for (name, content) in [
        ("user-data", "#cloud-config\n"),
        ("meta-data", "instance-id: m\n"),
        ("network-config", "version: 2\n"),
    ] {
        assert_eq!(std::fs::read_to_string(stage.dir.path().join(name)).unwrap(), content);
    }
    let label = std::process::Command::new("blkid")
        .args(["-s", "LABEL", "-o", "value"])
        .arg(stage.file("seed.img"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&label.stdout).trim(), "cidata");
    stage.close().await;
}

/// Whatever `/dev/kvm` is here, machines run: by it where it works, else by emulation.
#[tokio::test]
async fn the_processor_is_used_only_where_it_works() {
    let mut stage = Stage::new();
    let mut wanted = config(&stage.dir);
    wanted.accel = Accel::Auto;
    stage.qemu = Qemu::open(wanted).unwrap();
    stage.qemu.check().await.unwrap();
    stage.start(&stage.spec(&Sector::new().say("booted").power_off())).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.close().await;
}
