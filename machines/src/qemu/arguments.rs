//! QEMU's command line for a specification. A pure function: what is opened and passed is decided elsewhere.
//!
//! No path of the node appears in it but the firmware's code. Everything else comes as an open descriptor at a fixed
//! number, since the process may open nothing of the node by itself.

use serde_json::{Value, json};

use crate::{Clock, DiskBus, DiskFormat, Firmware, MachineSpec, NicModel, OnReset, Tpm};

/// The numbers of the descriptors in the machine's process.
pub(crate) mod fd {
    pub(crate) const LOCK: i32 = 10;
    pub(crate) const QMP: i32 = 11;
    pub(crate) const QMP_PEOPLE: i32 = 12;
    pub(crate) const SERIAL: i32 = 13;
    pub(crate) const JOURNAL: i32 = 14;
    pub(crate) const JOURNAL_LOG: i32 = 15;
    pub(crate) const CONSOLE_LOG: i32 = 16;
    pub(crate) const OVERLAY: i32 = 17;
    pub(crate) const BASE: i32 = 18;
    pub(crate) const SEED: i32 = 19;
    pub(crate) const VARS: i32 = 20;
    pub(crate) const TAP: i32 = 21;
    pub(crate) const TPM: i32 = 22;
}

/// How many free PCI Express ports a machine has for what is plugged in later.
const FREE_PORTS: u32 = 4;

/// What of Hyper-V Windows makes use of and KVM has on any host: fewer exits for its locks, timers and interrupts.
const HYPER_V: &str = "host,hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-vpindex,hv-runtime,hv-time,hv-synic,hv-stimer,hv-frequencies";

/// What the processor is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    Kvm,
    Tcg,
}

impl Execution {
    pub(crate) fn arguments(self, hyper_v: bool) -> [&'static str; 4] {
        match self {
            Self::Kvm if hyper_v => ["-accel", "kvm", "-cpu", HYPER_V],
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Nothing of Hyper-V is emulated. What is translated is kept in 96 MiB, or it would grow to a GiB beside the guest's memory, which no pod has room for.
            Self::Tcg => ["-accel", "tcg,thread=multi,tb-size=96", "-cpu", "max"],
        }
    }
}

/// What forbids the process to become more than it is, or another one.
pub(crate) const SANDBOX: [&str; 2] =
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];

/// What the command line depends on beside the specification.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) uuid: &'a str,
    pub(crate) execution: Execution,
    pub(crate) has_seed: bool,
    /// The file of the UEFI code, for a machine that has one.
    pub(crate) ovmf_code: Option<&'a str>,
}

/// The arguments after the program's name.
pub(crate) fn arguments(spec: &MachineSpec, around: &Surroundings<'_>) -> Vec<String> {
    let mut line = Line(Vec::new());
    line.add(["-name", &format!("guest={},debug-threads=on", spec.id), "-uuid", around.uuid]);
    line.add(["-nodefaults", "-no-user-config", "-display", "none", "-S"]);
    line.add(around.execution.arguments(spec.hyper_v));
    line.add(SANDBOX);
    let reboot = match spec.on_reset {
        OnReset::End => "shutdown",
        OnReset::Continue => "reset",
    };
    line.add(["-action", &format!("reboot={reboot},shutdown=pause,panic=pause")]);
    let rtc = match spec.clock {
        Clock::Utc => "base=utc",
        // Ticks that the guest had no time for are caught up on, or its clock falls behind.
        Clock::Local => "base=localtime,driftfix=slew",
    };
    line.add(["-rtc", rtc, "-boot", "strict=on,menu=off"]);
    line.add(["-m", &format!("{}M", spec.memory_mib)]);
    line.add(["-smp", &format!("{0},sockets=1,cores={0},threads=1", spec.cpus)]);

    let on_pc = spec.disk.bus == DiskBus::Ide;
    let mut machine = String::from(if on_pc { "pc" } else { "q35" });
    if let Some(code) = around.ovmf_code {
        line.block(&json!({"node-name": "code", "driver": "file", "filename": code, "read-only": true}));
        line.fd_set(fd::VARS);
        line.block(&json!({"node-name": "vars", "driver": "file", "filename": fd_path(fd::VARS)}));
        machine.push_str(",pflash0=code,pflash1=vars");
    }
    if spec.firmware == Firmware::UefiSecure {
        // The variables are written by the firmware alone, in the mode that only it comes into.
        machine.push_str(",smm=on");
        line.add(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        line.add(["-global", "ICH9-LPC.disable_s3=1"]);
    }
    line.add(["-machine", &machine]);

    monitors(&mut line);
    line.device("VGA");
    line.device("virtio-rng-pci,id=rng0");
    line.device("virtio-balloon-pci,id=balloon0,deflate-on-oom=on");
    line.device("pvpanic");
    if spec.tpm == Tpm::V2 {
        line.add(["-chardev", &format!("socket,id=tpm,fd={}", fd::TPM)]);
        line.add(["-tpmdev", "emulator,id=tpm0,chardev=tpm"]);
        line.device("tpm-crb,tpmdev=tpm0");
    }
    if !on_pc {
        for port in 0..FREE_PORTS {
            line.device(&format!("pcie-root-port,id=port{port},chassis={},slot={}", port + 1, port + 1));
        }
    }
    disks(&mut line, spec, around.has_seed);
    if let Some(nic) = &spec.nic {
        line.add(["-netdev", &format!("tap,id=net0,fd={}", fd::TAP)]);
        // Without its boot program, which is for booting from the network and slows every start.
        line.device(&match nic.model {
            NicModel::Virtio => {
                format!("virtio-net-pci,id=nic0,netdev=net0,mac={},host_mtu={},romfile=", nic.mac, nic.mtu)
            }
            NicModel::E1000 => format!("e1000,id=nic0,netdev=net0,mac={},romfile=", nic.mac),
            NicModel::E1000e => format!("e1000e,id=nic0,netdev=net0,mac={},romfile=", nic.mac),
        });
    }
    line.0
}

/// The monitors, the journal of events, and the serial console.
fn monitors(line: &mut Line) {
    for (name, number) in [("qmp", fd::QMP), ("people", fd::QMP_PEOPLE)] {
        line.add(["-chardev", &format!("socket,id={name},fd={number},server=on,wait=off")]);
        line.add(["-mon", &format!("chardev={name},mode=control")]);
    }
    line.fd_set(fd::JOURNAL_LOG);
    let log = fd_path(fd::JOURNAL_LOG);
    line.add(["-chardev", &format!("socket,id=journal,fd={},logfile={log},logappend=on", fd::JOURNAL)]);
    line.add(["-mon", "chardev=journal,mode=control"]);
    line.fd_set(fd::CONSOLE_LOG);
    let log = fd_path(fd::CONSOLE_LOG);
    let socket = format!("socket,id=serial,fd={},server=on,wait=off", fd::SERIAL);
    line.add(["-chardev", &format!("{socket},logfile={log},logappend=on"), "-serial", "chardev:serial"]);
}

fn disks(line: &mut Line, spec: &MachineSpec, has_seed: bool) {
    let file = |name: &str, number, read_only: bool| {
        json!({"node-name": name, "driver": "file", "filename": fd_path(number), "read-only": read_only,
               "discard": "unmap"})
    };
    line.fd_set(fd::BASE);
    line.block(&file("base-file", fd::BASE, true));
    line.block(&match spec.disk.format {
        DiskFormat::Qcow2 => {
            json!({"node-name": "base", "driver": "qcow2", "file": "base-file", "read-only": true, "backing": null})
        }
        DiskFormat::Raw => {
            json!({"node-name": "base", "driver": "raw", "file": "base-file", "read-only": true})
        }
    });
    line.fd_set(fd::OVERLAY);
    line.block(&file("root-file", fd::OVERLAY, false));
    line.block(&json!({"node-name": "root", "driver": "qcow2", "file": "root-file", "backing": "base",
                       "discard": "unmap"}));
    let bus = spec.disk.bus;
    if bus == DiskBus::Scsi {
        line.device("virtio-scsi-pci,id=scsi0");
    }
    line.device(&format!("{},drive=root,id=disk0,bootindex=0", disk_model(bus, 0)));
    if has_seed {
        line.fd_set(fd::SEED);
        // IDE and AHCI disks cannot be read-only. What a guest writes to its seed nobody reads.
        let read_only = matches!(bus, DiskBus::Virtio | DiskBus::Scsi);
        line.block(&file("seed-file", fd::SEED, read_only));
        line.block(
            &json!({"node-name": "seed", "driver": "raw", "file": "seed-file", "read-only": read_only}),
        );
        line.device(&format!("{},drive=seed,id=seed0", disk_model(bus, 1)));
    }
}

fn disk_model(bus: DiskBus, index: u32) -> String {
    match bus {
        DiskBus::Virtio => "virtio-blk-pci".into(),
        DiskBus::Scsi => format!("scsi-hd,bus=scsi0.0,scsi-id={index}"),
        DiskBus::Sata | DiskBus::Ide => format!("ide-hd,bus=ide.{index}"),
    }
}

/// Whether the seed has to be opened for writing too.
pub(crate) fn seed_is_writable(bus: DiskBus) -> bool {
    matches!(bus, DiskBus::Sata | DiskBus::Ide)
}

fn fd_path(number: i32) -> String {
    format!("/dev/fdset/{number}")
}

struct Line(Vec<String>);

impl Line {
    fn add<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(String::from));
    }

    fn device(&mut self, text: &str) {
        self.add(["-device", text]);
    }

    fn block(&mut self, node: &Value) {
        self.add(["-blockdev", &node.to_string()]);
    }

    fn fd_set(&mut self, number: i32) {
        self.add(["-add-fd", &format!("fd={number},set={number}")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyper_v_is_shown_by_kvm_alone() {
        assert!(Execution::Kvm.arguments(true)[3].contains(",hv-time,"));
        assert_eq!(Execution::Kvm.arguments(false)[3], "host");
        assert_eq!(Execution::Tcg.arguments(true), Execution::Tcg.arguments(false));
    }
}
