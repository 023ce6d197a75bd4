//! The network on real CNI plugins. Each test runs itself again inside a network namespace that it made.
//!
//! They need root, iproute2, iptables and containernetworking-plugins.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use super::{Attachment, GuestIdentity, Mode, Network, NetworkConfig, PodNetworkRequest, PortMapping};

const INSIDE: &str = "NETWORK_TEST_INSIDE";

/// Runs the named test again inside a new namespace; true there, false outside once it has passed.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let node = format!("node-{}-{}", std::process::id(), test.rsplit(':').next().unwrap());
    let ip = |args: &[&str]| {
        assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}; be root");
    };
    ip(&["netns", "add", &node]);
    ip(&["-n", &node, "link", "set", "lo", "up"]);
    let passed = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{node}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap()
        .success();
    ip(&["netns", "del", &node]);
    assert!(passed, "{test} failed inside {node}");
    false
}

fn name(test: &str) -> String {
    let path = module_path!();
    format!("{}::{test}", path.split_once("::").unwrap().1)
}

fn builtin(state: &Path, subnets: &[&str]) -> Network {
    Network::open(NetworkConfig {
        mode: Mode::Builtin {
            subnets: subnets.iter().map(|subnet| (*subnet).to_owned()).collect(),
            bridge: "test0".to_owned(),
            mtu: 1400,
            bin_dirs: vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()],
        },
        state_dir: state.to_owned(),
        tap_user: 0,
    })
    .unwrap()
}

fn pod(id: &str) -> PodNetworkRequest {
    PodNetworkRequest {
        id: format!("{id}-{}", std::process::id()),
        name: "web".to_owned(),
        namespace: "default".to_owned(),
        uid: "u1".to_owned(),
        port_mappings: vec![PortMapping {
            protocol: "TCP".to_owned(),
            container_port: 80,
            host_port: 8080,
            host_ip: String::new(),
        }],
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a pod could leave behind: rules without counters, links, reserved addresses.
fn inventory(state: &Path) -> (String, usize, Vec<String>) {
    let rules = output("iptables-save", &["-t", "nat"]);
    let rules = rules.lines().filter(|line| line.starts_with("-A")).collect::<Vec<_>>().join("\n");
    let links = output("ip", &["-o", "link"]).lines().count();
    let mut addresses: Vec<String> = std::fs::read_dir(state.join("addresses/infranetes"))
        .map(|all| all.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    addresses.retain(|name| name.parse::<IpAddr>().is_ok());
    (rules, links, addresses)
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

#[tokio::test]
async fn thirty_cycles_leave_nothing() {
    if !inside(&name("thirty_cycles_leave_nothing")) {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24", "fd00:89::/64"]);
    network.check().await.unwrap();
    let first = cycle(&network, "warm").await;
    assert_eq!((first.addresses.len(), first.mtu), (2, 1400));
    assert_eq!(first.gateway4, Some("10.89.0.1".parse().unwrap()));
    assert_eq!(first.gateway6, Some("fd00:89::1".parse().unwrap()));
    let before = inventory(state.path());
    for number in 0..30 {
        cycle(&network, &format!("p{number}")).await;
    }
    assert_eq!(inventory(state.path()), before);
    assert!(before.2.is_empty());
}

#[tokio::test]
async fn a_kill_at_each_record_is_finished_or_undone() {
    if !inside(&name("a_kill_at_each_record_is_finished_or_undone")) {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24"]);
    cycle(&network, "warm").await;
    let before = inventory(state.path());
    let request = pod("cut");
    for step in 0..5 {
        for finish in [true, false] {
            let whole = network.attach(&request).await.unwrap();
            let mut entry = super::cache::load(network.cache(), &request.id).unwrap().unwrap();
            // The record as it was when the daemon died; the effects went further.
            entry.joined = step > 3;
            if step < 3 {
                // The join, which empties eth0, only ever follows this record.
                super::tap::restore(&request.id, entry.result.as_ref().unwrap()).await.unwrap();
                entry.attachment = None;
            }
            if step < 2 {
                entry.result = None;
            }
            super::cache::save(network.cache(), &entry).unwrap();
            if step == 2 || step == 4 {
                super::netns::remove(&request.id).await.unwrap();
            }
            let again = builtin(state.path(), &["10.89.0.0/24"]);
            assert_eq!(again.list().await.unwrap().iter().filter(|id| **id == request.id).count(), 1);
            if finish {
                let second = again.attach(&request).await.unwrap();
                assert_eq!(second.addresses.len(), 1);
                if step == 3 {
                    assert_eq!(second, whole);
                }
            }
            again.detach(&request.id).await.unwrap();
            assert_eq!(inventory(state.path()), before, "cut at step {step}, finished: {finish}");
        }
    }
}

#[tokio::test]
async fn check_names_what_is_missing() {
    let state = tempfile::tempdir().unwrap();
    let conf = state.path().join("net.d");
    std::fs::create_dir(&conf).unwrap();
    let network = Network::open(NetworkConfig {
        mode: Mode::Cni {
            conf_dir: conf.clone(),
            bin_dirs: vec!["/usr/lib/cni".into()],
            cache_dir: state.path().join("cache"),
        },
        state_dir: state.path().to_owned(),
        tap_user: 0,
    })
    .unwrap();
    assert!(network.check().await.unwrap_err().to_string().contains("no CNI configuration"));
    std::fs::write(conf.join("10-a.conf"), r#"{"cniVersion":"1.0.0","name":"a","type":"absent"}"#).unwrap();
    assert!(network.check().await.unwrap_err().to_string().contains("plugin absent is in none of"));
    std::fs::write(conf.join("05-b.conf"), r#"{"cniVersion":"1.0.0","name":"b","type":"bridge"}"#).unwrap();
    network.check().await.unwrap();
}

#[test]
fn cloud_init_marks_a_gateway_outside_the_subnet() {
    let attachment: Attachment = serde_json::from_value(serde_json::json!({
        "id": "a", "netns": "", "tap": "tap0", "mac": "02:00:00:00:00:01", "mtu": 1400,
        "addresses": [{ "address": "10.1.0.2", "prefix": 32 }], "gateway4": "169.254.1.1", "gateway6": null,
        "routes": [{ "destination": { "address": "0.0.0.0", "prefix": 0 }, "gateway": "169.254.1.1" }],
        "dns": {},
    }))
    .unwrap();
    let text = super::cloud_init_network(&attachment, &GuestIdentity::default());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["ethernets"]["eth0"]["routes"][0]["on-link"], true);
    assert_eq!(value["ethernets"]["eth0"]["mtu"], 1400);
}
