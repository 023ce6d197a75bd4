//! A guest without a machine: a namespace whose card is joined to a pod's tap, and a DHCP client in it.
//!
//! What opens the tap is socat in the place of QEMU; frames go through it unchanged, so the guest's own stack has the
//! pod's MAC and is behind the tap, the filters and the answerer exactly as a machine is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Attachment, run};

pub(super) struct Guest {
    name: String,
    cable: Child,
    directory: tempfile::TempDir,
}

/// What the client of busybox does with an answer, and what it tells of it.
const SCRIPT: &str = r#"#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip link set "$interface" mtu "$mtu"
set -- $staticroutes
while [ $# -gt 1 ]; do
    case $2 in
    0.0.0.0) ip route replace "$1" dev "$interface" scope link || exit 1 ;;
    *) ip route replace "$1" via "$2" dev "$interface" || exit 1 ;;
    esac
    shift 2
done
env > "$ANSWER"
"#;

impl Guest {
    /// Puts a guest behind a pod's tap. Its card has the right address, and nothing else is set.
    pub(super) fn behind(attachment: &Attachment) -> Self {
        let name = format!("guest-{}", attachment.id);
        run("ip", &["netns", "add", &name]);
        for line in [
            "link set lo up",
            "tuntap add dev eth0 mode tap",
            &format!("link set eth0 address {}", attachment.mac),
        ] {
            run("ip", &[&["-n", &name], &line.split(' ').collect::<Vec<_>>()[..]].concat());
        }
        let directory = tempfile::tempdir().unwrap();
        let words = std::fs::File::create(directory.path().join("socat.log")).unwrap();
        let tap = |device: &str| format!("TUN,tun-type=tap,tun-name={device},iff-no-pi");
        let far = format!("ip netns exec {name} socat -b65536 - {},iff-up", tap("eth0"));
        let cable = Command::new("nsenter")
            .arg(format!("--net={}", attachment.netns.display()))
            .args(["socat", "-b65536", &tap(&attachment.tap)])
            // 5 is SOCK_SEQPACKET: one frame stays one frame.
            .arg(format!("EXEC:'{}',socktype=5", far.replace(',', "\\,").replace(':', "\\:")))
            .stdin(Stdio::null())
            .stderr(words)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run socat: {error}; install it"));
        Self { name, cable, directory }
    }

    pub(super) fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Asks for an address; what the answer said, by the client's names.
    pub(super) fn ask(&self) -> HashMap<String, String> {
        use std::os::unix::fs::PermissionsExt;
        let (script, answer) = (self.directory.path().join("script"), self.directory.path().join("answer"));
        std::fs::write(&script, SCRIPT).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let asked = Command::new("ip")
            .args(["netns", "exec", &self.name, "busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-n"])
            .args([
                "-t",
                "20",
                "-T",
                "1",
                "-O",
                "search",
                "-O",
                "mtu",
                "-O",
                "staticroutes",
                "-O",
                "hostname",
            ])
            .arg("-s")
            .arg(&script)
            .env("ANSWER", &answer)
            .output()
            .unwrap();
        let words = std::fs::read_to_string(self.directory.path().join("socat.log")).unwrap();
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "udhcpc: {said}; socat: {words}");
        let answer = std::fs::read_to_string(&answer).unwrap_or_else(|_| panic!("no answer: {said}"));
        answer
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.cable.kill();
        let _ = self.cable.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}
