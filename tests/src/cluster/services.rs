//! What makes Services of pods: their addresses, their names, and what is known of them.
//!
//! ```text
//!   10.96.0.0/16 (a Service's address)  -> kube-proxy's rules -> a pod, the API server, the DNS server, metrics-server
//!   10.96.0.10   (`web.default.svc...`) -> CoreDNS, from what the API server tells it
//!   metrics.k8s.io                      -> the API server -> metrics-server -> the kubelet -> the daemon -> the guest
//! ```
//!
//! They are programs of the node and not pods: a node's only runtime runs machines. So their Services have no selector, and the
//! node's own address behind them. kube-proxy writes its rules by `nft` in the node's network namespace; it is told to leave the
//! limits of the connection table alone, which are the machine's. On a node that has a delegate kube-proxy is a `DaemonSet`, as
//! elsewhere; the programs of the machine are its image.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::access::{Access, Who};
use super::control::start;
use super::{ADDRESS, Kubectl, NODE, PATIENCE};
use crate::namespace::run;
use crate::node::Node;
use crate::process::Process;

/// The address of the cluster's DNS server, as guests are told it.
pub(super) const DNS: &str = "10.96.0.10";
/// The domain of the cluster's names.
pub(super) const DOMAIN: &str = "cluster.local";
/// Where `CoreDNS` listens on the node's address.
const DNS_PORT: u16 = 53;
/// Where metrics-server listens on the node's address.
const METRICS_PORT: u16 = 4443;
/// The API of metrics-server.
const METRICS: &str = "apiservice/v1beta1.metrics.k8s.io";

/// The programs behind Services.
#[derive(Debug)]
pub(super) struct Services {
    metrics: Process,
    dns: Process,
    /// None where it is a pod.
    proxy: Option<Process>,
}

impl Services {
    /// The manifest with their rights, their Services and their API.
    pub(super) fn manifest() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/cluster/services.yaml")
    }

    /// Starts them; the node is Ready, whose address kube-proxy wants to know.
    pub(super) fn start(node: &Node, programs: &Path, access: &Access, kubectl: &Kubectl) -> Result<Self> {
        let folder = node.dir().join("services");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let proxied = write(folder.join("kube-proxy.json"), &proxy(access))?;
        let proxy = if node.has_delegate() {
            kubectl.apply(&proxy_pods(&programs.join("kube-proxy"), &proxied))?;
            None
        } else {
            Some(start(node, programs, "kube-proxy", |command| {
                command.arg("--config").arg(proxied);
            })?)
        };
        let served = write(folder.join("Corefile"), &corefile(access))?;
        let dns = start(node, programs, "coredns", |command| {
            command.arg("-conf").arg(served);
        })?;
        let metrics = start(node, programs, "metrics-server", |command| {
            measure(command, access, &folder);
        })?;
        Ok(Self { metrics, dns, proxy })
    }

    /// Waits until each does its work: rules are there, names are answered, and the API is reached through its Service.
    pub(super) fn wait(&mut self, node: &Node, kubectl: &Kubectl) -> Result<()> {
        let ruled = || {
            let rules = run(node.namespace().command("nft").args(["list", "table", "ip", "kube-proxy"]));
            rules.is_ok_and(|rules| rules.contains(DNS))
        };
        let writer = self.proxy.as_mut().unwrap_or(&mut self.dns);
        writer.wait_for("rule for the DNS server", PATIENCE, ruled)?;
        self.dns.wait_for("open port", PATIENCE, || node.namespace().listens(DNS_PORT))?;
        let available = ["wait", "--for=condition=Available", METRICS, "--timeout=5s"];
        self.metrics.wait_for("API behind its Service", PATIENCE, || kubectl.run(&available).is_ok())
    }

    /// All of their processes.
    pub(super) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        [&mut self.metrics, &mut self.dns].into_iter().chain(&mut self.proxy)
    }
}

/// The configuration of kube-proxy.
fn proxy(access: &Access) -> String {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": access.config(Who::Proxy) },
        "hostnameOverride": NODE,
        "bindAddress": ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // A guest that asks a guest beside it on the bridge has its answer from the address that it asked.
        "nftables": { "masqueradeAll": true },
        "oomScoreAdj": 0,
        // The connection table is the machine's.
        "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
    .to_string()
}

/// kube-proxy as an ordinary workload, which finds its program, its configuration and `nft` on the machine.
fn proxy_pods(program: &Path, config: &Path) -> String {
    let labels = json!({ "k8s-app": "kube-proxy" });
    let container = json!({
        "name": "kube-proxy",
        "image": "registry.k8s.io/e2e-test-images/busybox:1.29-2",
        "command": ["chroot", "/machine", program, "--config", config],
        "securityContext": { "privileged": true },
        "volumeMounts": [{ "name": "machine", "mountPath": "/machine" }],
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "kube-proxy", "namespace": "kube-system" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "hostNetwork": true,
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{ "operator": "Exists" }],
                    "terminationGracePeriodSeconds": 5,
                    "containers": [container],
                    "volumes": [{ "name": "machine", "hostPath": { "path": "/" } }],
                },
            },
        },
    })
    .to_string()
}

/// The configuration of `CoreDNS`: the cluster's names and no others, and each as the API server has it now.
fn corefile(access: &Access) -> String {
    format!(
        ".:{DNS_PORT} {{
    bind {ADDRESS}
    errors
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {}
    }}
}}
",
        access.config(Who::Dns).display()
    )
}

/// The arguments of metrics-server.
fn measure(command: &mut Command, access: &Access, folder: &Path) {
    let config = access.config(Who::Metrics);
    command.arg("--kubeconfig").arg(&config);
    command.arg("--authentication-kubeconfig").arg(&config);
    command.arg("--authorization-kubeconfig").arg(&config);
    command.arg("--authentication-skip-lookup");
    access.aggregator().believe(command);
    command.args(["--bind-address", ADDRESS, "--secure-port", &METRICS_PORT.to_string()]);
    command.arg("--cert-dir").arg(folder.join("metrics"));
    // The kubelet makes its certificate itself, and is reached by its name on the loopback.
    command.args(["--kubelet-insecure-tls", "--kubelet-preferred-address-types=Hostname"]);
    // The shortest that it takes.
    command.args(["--metric-resolution=10s", "--kubelet-request-timeout=5s"]);
}

/// Writes a file, and answers where it is.
fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
