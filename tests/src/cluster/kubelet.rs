//! The kubelet, and what of the machine it would write if it were let.
//!
//! It knows folders, sysctls and control groups that are the machine's whatever its configuration says. In the namespace of the
//! node it has others in their place: folders that are empty, files where it looks for sysctls, and control groups below one
//! that is this node's alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::access::{Access, Who};
use super::control::start;
use super::groups::Groups;
use super::services::{DNS, DOMAIN};
use super::{ADDRESS, Kubectl, NODE, PATIENCE};
use crate::hidden::Hidden;
use crate::namespace::Namespace;
use crate::node::Node;
use crate::process::Process;

/// Where it keeps something whatever its configuration says: sockets of device plugins, links to logs.
const FIXED: [&str; 2] = ["/var/lib/kubelet", "/var/log/containers"];
/// The sysctls that it sets, with the values that it wants.
const SYSCTLS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// The folders of the machine that are hidden from it.
#[derive(Debug)]
pub(super) struct Folders {
    _hidden: Vec<Hidden>,
}

impl Folders {
    /// Hides them.
    pub(super) fn hide(namespace: &Namespace) -> Result<Self> {
        let hidden = FIXED.map(|folder| Hidden::hide(folder, namespace));
        Ok(Self { _hidden: hidden.into_iter().collect::<Result<_>>()? })
    }
}

/// A running kubelet.
#[derive(Debug)]
pub(super) struct Kubelet {
    process: Process,
    config: PathBuf,
}

impl Kubelet {
    /// Starts it.
    pub(super) fn start(node: &Node, programs: &Path, access: &Access, groups: &Groups) -> Result<Self> {
        let root = node.kubelet();
        std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        cover_sysctls(node)?;
        let config = configure(node, groups, &root)?;
        let process = run(node, programs, access, &config)?;
        Ok(Self { process, config })
    }

    /// Starts another one in its place.
    pub(super) fn start_again(&mut self, node: &Node, programs: &Path, access: &Access) -> Result<()> {
        self.process = run(node, programs, access, &self.config)?;
        Ok(())
    }

    /// Gives the next one that is started these values of its configuration.
    pub(super) fn configure(&self, values: &Value) -> Result<()> {
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&self.config)?)?;
        for (key, value) in values.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        std::fs::write(&self.config, config.to_string())
            .with_context(|| format!("cannot write {}", self.config.display()))
    }

    /// Waits until its node is Ready.
    pub(super) fn wait(&mut self, kubectl: &Kubectl) -> Result<()> {
        let node = format!("node/{NODE}");
        let is = |what| kubectl.run(&["wait", what, &node, "--timeout=5s"]).is_ok();
        self.process.wait_for("ready node", PATIENCE, || is("--for=create") && is("--for=condition=Ready"))
    }

    /// Its process.
    pub(super) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The folder of manifests whose pods it runs without being told by anybody.
pub(super) fn static_pods(node: &Node) -> PathBuf {
    node.dir().join("static-pods")
}

/// Runs one with a configuration.
fn run(node: &Node, programs: &Path, access: &Access, config: &Path) -> Result<Process> {
    let root = node.kubelet();
    start(node, programs, "kubelet", |command| {
        command.arg("--config").arg(config);
        command.arg("--kubeconfig").arg(access.config(Who::Kubelet));
        command.arg("--root-dir").arg(&root);
        command.arg("--cert-dir").arg(root.join("pki"));
        command.args(["--hostname-override", NODE, "--node-ip", ADDRESS]);
        // As the RuntimeClass of VM pods wants its nodes.
        command.args(["--node-labels", "infranetes.io/vm=true"]);
    })
}

/// Puts files in the place of the sysctls that it sets.
fn cover_sysctls(node: &Node) -> Result<()> {
    let folder = node.dir().join("sysctls");
    std::fs::create_dir_all(&folder)?;
    for (name, value) in SYSCTLS {
        let machines = Path::new("/proc/sys").join(name);
        if machines.exists() {
            let own = folder.join(name.replace('/', "."));
            std::fs::write(&own, format!("{value}\n"))?;
            node.namespace().cover(&machines, &own)?;
        }
    }
    Ok(())
}

/// Writes its configuration.
fn configure(node: &Node, groups: &Groups, root: &Path) -> Result<PathBuf> {
    let resolv_conf = root.join("resolv.conf");
    std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n")?;
    let static_pods = static_pods(node);
    std::fs::create_dir_all(&static_pods)?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", node.socket().display()),
        "podLogsDir": node.pod_logs(),
        "staticPodPath": static_pods,
        "volumePluginDir": root.join("volume-plugins"),
        "resolvConf": resolv_conf,
        "registerWithTaints": [{ "key": "infranetes.io/vm", "value": "true", "effect": "NoSchedule" }],
        "clusterDomain": DOMAIN,
        "clusterDNS": [DNS],
        // Whoever is on the loopback of the node is the node's owner: guests and other machines do not get there.
        "address": "127.0.0.1",
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": groups.name(),
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "oomScoreAdj": 0,
        // What changes in a Secret or a ConfigMap is written to the node this often.
        "syncFrequency": "5s",
        // What else fills the machine is not the node's business.
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    let path = root.join("config.json");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}
