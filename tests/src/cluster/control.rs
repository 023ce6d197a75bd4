//! What decides in a cluster: etcd and the API server, then the controllers and the scheduler that ask it.
//!
//! Each listens on the namespace's loopback alone; the API server on the node's address, since guests may ask it, too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::access::{Access, Who};
use super::{ADDRESS, Kubectl, PATIENCE, SERVICES, logs};
use crate::node::Node;
use crate::process::Process;

/// Where the API server listens.
pub(super) const API_PORT: u16 = 6443;
/// Where etcd listens: for the API server, and for others of its kind, which there are none of.
const ETCD: [&str; 2] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];

/// The control plane: the last one started is the first in here, and the first to end.
#[derive(Debug)]
pub(super) struct Control {
    rest: Vec<Process>,
    api: Process,
    etcd: Process,
}

impl Control {
    /// Starts etcd and the API server, which waits for it.
    pub(super) fn start(node: &Node, programs: &Path, access: &Access) -> Result<Self> {
        std::fs::create_dir_all(logs(node))?;
        let [clients, peers] = ETCD;
        let etcd = start(node, programs, "etcd", |command| {
            command.arg("--data-dir").arg(node.dir().join("etcd"));
            command.args(["--listen-client-urls", clients, "--advertise-client-urls", clients]);
            command.args(["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]);
            command.args(["--initial-cluster", &format!("default={peers}")]);
            // Nothing of it outlives the node.
            command.arg("--unsafe-no-fsync");
        })?;
        let api = start_api(node, programs, access)?;
        Ok(Self { rest: vec![], api, etcd })
    }

    /// Waits until the API server is ready.
    pub(super) fn wait(&mut self, node: &Node, kubectl: &Kubectl) -> Result<()> {
        self.api.wait_for("open port", PATIENCE, || node.namespace().listens(API_PORT))?;
        let ready = || kubectl.run(&["get", "--raw=/readyz", "--request-timeout=5s"]).is_ok();
        self.api.wait_for("ready API server", PATIENCE, ready)
    }

    /// Ends the API server in good order, and starts another one; what asks it does so again.
    pub(super) fn restart_api(&mut self, node: &Node, programs: &Path, access: &Access) -> Result<()> {
        self.api.terminate(PATIENCE)?;
        self.api = start_api(node, programs, access)?;
        Ok(())
    }

    /// Starts what asks the API server.
    pub(super) fn start_rest(&mut self, node: &Node, programs: &Path, access: &Access) -> Result<()> {
        let controllers = start(node, programs, "kube-controller-manager", |command| {
            command.arg("--kubeconfig").arg(access.config(Who::Controllers));
            command.args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
            // How often it looks whether load asks for more pods.
            command.arg("--horizontal-pod-autoscaler-sync-period=5s");
            command.arg("--use-service-account-credentials=true");
            command.arg("--service-account-private-key-file").arg(access.signing_key());
            command.arg("--root-ca-file").arg(access.authority());
        })?;
        self.rest.insert(0, controllers);
        let scheduler = start(node, programs, "kube-scheduler", |command| {
            command.arg("--kubeconfig").arg(access.config(Who::Scheduler));
            command.args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
        })?;
        self.rest.insert(0, scheduler);
        Ok(())
    }

    /// All of its processes.
    pub(super) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.rest.iter_mut().chain([&mut self.api, &mut self.etcd])
    }
}

/// Starts the API server, which waits for etcd.
fn start_api(node: &Node, programs: &Path, access: &Access) -> Result<Process> {
    start(node, programs, "kube-apiserver", |command| {
        command.args(["--etcd-servers", ETCD[0], "--bind-address", ADDRESS]);
        command.args(["--advertise-address", ADDRESS, "--service-cluster-ip-range", SERVICES]);
        command.arg(format!("--secure-port={API_PORT}"));
        command.arg("--cert-dir").arg(access.api());
        command.arg("--token-auth-file").arg(access.tokens());
        command.args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"]);
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.arg("--service-account-signing-key-file").arg(access.signing_key());
        command.arg("--service-account-key-file").arg(access.signing_key());
        command.args(["--kubelet-preferred-address-types=Hostname", "--allow-privileged=true"]);
        access.aggregator().show(command);
    })
}

/// Starts one of Kubernetes' programs on a node, with these arguments.
pub(super) fn start(
    node: &Node,
    programs: &Path,
    name: &str,
    arguments: impl FnOnce(&mut Command),
) -> Result<Process> {
    let mut command = node.namespace().command(programs.join(name));
    arguments(&mut command);
    Process::start(command, name, &logs(node).join(name).with_extension("log"))
        .with_context(|| format!("cannot start {name} of {}", programs.display()))
}
