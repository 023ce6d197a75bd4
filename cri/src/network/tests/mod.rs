//! The network on real CNI plugins. Each test runs itself again inside a network namespace that it made, the node.
//!
//! They need root, iproute2, iptables, socat, busybox and containernetworking-plugins.

/// Ends the test here, once it has passed on a node of its own; on that node it goes on.
macro_rules! on_a_node {
    ($test:literal) => {
        if !super::inside(concat!(module_path!(), "::", $test)) {
            return;
        }
    };
}

mod cycles;
mod forwarding;
mod guest;
mod place;
mod plugins;
mod recovery;
mod settings;
mod traffic;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Attachment, GuestIdentity, Mode, Network, NetworkConfig, PodNetworkRequest, PortMapping};

const INSIDE: &str = "NETWORK_TEST_INSIDE";

/// Runs the named test again inside a new namespace; true there, false outside once it has passed.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let (_, test) = test.split_once("::").unwrap();
    let node = format!("node-{}-{}", std::process::id(), test.rsplit(':').next().unwrap());
    run("ip", &["netns", "add", &node]);
    run("ip", &["-n", &node, "link", "set", "lo", "up"]);
    let mut process = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{node}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .spawn()
        .unwrap();
    let passed = process.wait().unwrap().success();
    run("ip", &["netns", "del", &node]);
    // Every name that a test gives ends with its process: a failed one is tidied up after.
    let mark = format!("-{}", process.id());
    for left in std::fs::read_dir("/run/netns").unwrap().flatten() {
        let left = left.file_name().into_string().unwrap();
        if left.ends_with(&mark) {
            run("ip", &["netns", "del", &left]);
        }
    }
    assert!(passed, "{test} failed inside {node}");
    false
}

fn builtin(state: &Path, subnets: &[&str]) -> Network {
    Network::open(NetworkConfig {
        mode: Mode::Builtin {
            subnets: subnets.iter().map(|subnet| (*subnet).to_owned()).collect(),
            bridge: "test0".to_owned(),
            mtu: 1400,
            bin_dirs: installed(),
        },
        state_dir: state.to_owned(),
        tap_user: 0,
    })
    .unwrap()
}

/// A network of one configuration, with more plugins beside those of the distribution.
struct Configured {
    state: tempfile::TempDir,
}

impl Configured {
    fn new(file: &str, configuration: &serde_json::Value) -> Self {
        let state = tempfile::tempdir().unwrap();
        for directory in ["conf", "bin"] {
            std::fs::create_dir(state.path().join(directory)).unwrap();
        }
        std::fs::write(state.path().join("conf").join(file), configuration.to_string()).unwrap();
        Self { state }
    }

    /// A plugin of its own: a shell script.
    fn plugin(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.state.path().join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn path(&self) -> &Path {
        self.state.path()
    }

    fn network(&self) -> Network {
        configured(self.path())
    }
}

/// The network of a directory that [`Configured`] laid out.
fn configured(state: &Path) -> Network {
    Network::open(NetworkConfig {
        mode: Mode::Cni {
            conf_dir: state.join("conf"),
            bin_dirs: [vec![state.join("bin")], installed()].concat(),
            cache_dir: state.join("cache"),
        },
        state_dir: state.to_owned(),
        tap_user: 0,
    })
    .unwrap()
}

fn installed() -> Vec<PathBuf> {
    vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()]
}

fn pod(id: &str) -> PodNetworkRequest {
    PodNetworkRequest {
        id: format!("{id}-{}", std::process::id()),
        name: "web".to_owned(),
        namespace: "default".to_owned(),
        uid: "u1".to_owned(),
        forwards: false,
        port_mappings: vec![PortMapping {
            protocol: "TCP".to_owned(),
            container_port: 80,
            host_port: 8080,
            host_ip: String::new(),
        }],
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| {
        panic!("cannot run {program}: {error}; install it");
    });
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run(program: &str, args: &[&str]) {
    output(program, args);
}

/// What is written into a fifo, once all who write are gone. It is waited for in a thread of its own, for which no runtime waits:
/// a test whose writer never comes, or never goes, fails and does not hang.
fn read(fifo: PathBuf) -> tokio::sync::oneshot::Receiver<std::io::Result<String>> {
    let (told, read) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || told.send(std::fs::read_to_string(fifo)));
    read
}

/// What a pod could leave behind: rules without counters, links, reserved addresses.
fn inventory(state: &Path) -> (String, usize, Vec<String>) {
    let rules = output("iptables-save", &["-t", "nat"]);
    let rules = rules.lines().filter(|line| line.starts_with("-A")).collect::<Vec<_>>().join("\n");
    let links = output("ip", &["-o", "link"]).lines().count();
    (rules, links, reserved(&state.join("addresses/infranetes")))
}

/// The addresses that host-local keeps for pods.
fn reserved(directory: &Path) -> Vec<String> {
    let mut addresses: Vec<String> = std::fs::read_dir(directory)
        .map(|all| all.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    addresses.retain(|name| name.parse::<IpAddr>().is_ok());
    addresses
}

async fn cycle(network: &Network, id: &str) -> Attachment {
    let request = pod(id);
    let first = network.attach(&request).await.unwrap();
    assert_eq!(network.attach(&request).await.unwrap(), first);
    assert!(first.netns.exists());
    network.detach(&request.id).await.unwrap();
    network.detach(&request.id).await.unwrap();
    assert!(!first.netns.exists());
    first
}
