//! A cluster of one: Kubernetes' own programs on a node of ours, which is their only runtime.
//!
//! ```text
//!  start: node -> access (tokens, keys) -> etcd -> API server -> controllers, scheduler -> kubelet -> the node is Ready
//!           -> kube-proxy, CoreDNS, metrics-server -> Services are served
//!  drop:  the same backwards: kubelet -> ... -> etcd -> node (machines, daemon, namespaces, files)
//!           -> control groups -> folders of the machine
//! ```
//!
//! Happy path: everything runs in the namespace of the [`Node`] and writes into its directory; people and tests talk to it
//! with [`Kubectl`]. Failure paths: a program that ends, or does not answer in time, ends the start with what it has printed.
//! However it ends, and also when pods are left, all of it is removed.

mod access;
mod aggregator;
mod control;
mod groups;
mod kubectl;
mod kubelet;
mod services;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::interrupt;
use crate::inventory::Inventory;
use crate::namespace::{Namespace, run};
use crate::node::{Delegated, Node, Options};
use crate::process::pause;
use access::{Access, Who};
use control::Control;
use groups::Groups;
use kubelet::Kubelet;
use services::Services;

pub use kubectl::Kubectl;

/// The node's name. The API server reaches the kubelet by it, on the loopback.
const NODE: &str = "node";
/// The node's own address, on which guests reach the API server.
const ADDRESS: &str = "10.90.0.1";
/// What Services get their addresses from.
const SERVICES: &str = "10.96.0.0/16";
/// How long each part may take to its first answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running cluster. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct Cluster {
    services: Services,
    kubelet: Kubelet,
    control: Control,
    kubectl: Kubectl,
    node: Node,
    programs: PathBuf,
    access: Access,
    // Both go when nothing is in them any more.
    groups: Groups,
    _folders: kubelet::Folders,
}

impl Cluster {
    /// Starts Kubernetes' programs of a folder on a node of its own, and waits until the node is Ready. Each step is told when
    /// it begins.
    pub fn start(options: Options, programs: &Path, told: &mut dyn FnMut(&str)) -> Result<Self> {
        told("starting a node: a network namespace, a registry, the daemon");
        let node = Node::start(options)?;
        let space = node.namespace();
        address(space)?;
        space.resolve_to_loopback(&[NODE], &node.dir().join("hosts"))?;
        let folders = kubelet::Folders::hide(space)?;
        let groups = Groups::make(node.dir())?;
        let access = Access::make(node.dir())?;
        let kubectl = Kubectl::make(space, programs, &access.config(Who::Admin), node.dir())?;

        told("starting etcd and the API server");
        let mut control = Control::start(&node, programs, &access)?;
        control.wait(&node, &kubectl)?;
        told("starting controllers, scheduler and kubelet, until the node is Ready");
        control.start_rest(&node, programs, &access)?;
        let mut kubelet = Kubelet::start(&node, programs, &access, &groups)?;
        kubectl.run(&["apply", "-f", runtime_class(), "-f", Services::manifest()])?;
        kubelet.wait(&kubectl)?;
        told("starting kube-proxy, CoreDNS and metrics-server, until pods are let in");
        let mut services = Services::start(&node, programs, &access, &kubectl)?;
        services.wait(&node, &kubectl)?;
        kubectl.run(&["wait", "--for=create", "serviceaccount/default", "--timeout=60s"])?;
        let programs = programs.to_owned();
        Ok(Self { services, kubelet, control, kubectl, node, programs, access, groups, _folders: folders })
    }

    /// Starts one from the environment that `cargo xtask test` sets; `None` where there is no Kubernetes.
    pub fn from_env() -> Result<Option<Self>> {
        Self::from_env_with("")
    }

    /// The same with further configuration of the daemon.
    pub fn from_env_with(config: &str) -> Result<Option<Self>> {
        let Some(programs) = std::env::var_os("INFRANETES_KUBERNETES") else { return Ok(None) };
        let options = Options { config: config.to_owned(), ..Options::from_env()? };
        Self::start(options, Path::new(&programs), &mut |_| ()).map(Some)
    }

    /// The same with containerd as the delegate; `None` where there is no such.
    pub fn mixed_from_env() -> Result<Option<Self>> {
        let Some(programs) = std::env::var_os("INFRANETES_KUBERNETES") else { return Ok(None) };
        let Some(delegate) = Delegated::from_env("INFRANETES_CONTAINERD")? else { return Ok(None) };
        let options = Options { delegate: Some(delegate), ..Options::from_env()? };
        Self::start(options, Path::new(&programs), &mut |_| ()).map(Some)
    }

    /// The node, to end and start what runs on it.
    pub fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The program that talks to it.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The logs of its programs.
    pub fn logs(&self) -> PathBuf {
        logs(&self.node)
    }

    /// The folder of manifests whose pods the kubelet runs by itself.
    pub fn static_pods(&self) -> PathBuf {
        kubelet::static_pods(&self.node)
    }

    /// Ends the daemon as `kill -9` does, and starts it again.
    pub fn restart_daemon(&mut self) -> Result<()> {
        self.node.kill_and_restart_daemon()
    }

    /// Ends the kubelet as `kill -9` does, and starts it again; waits until it has told of its node.
    pub fn restart_kubelet(&mut self) -> Result<()> {
        let renewed = ["get", "lease", NODE, "-n", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}"];
        self.kubelet.process().kill();
        let before = self.kubectl.run(&renewed)?;
        self.kubelet.start_again(&self.node, &self.programs, &self.access)?;
        self.kubectl.until(PATIENCE, &renewed, |now| now != before).context("the kubelet is not back")?;
        Ok(())
    }

    /// Switches the kubelet over to the runtime at another socket, as [`Cluster::restart_kubelet`] does.
    pub fn switch_kubelet(&mut self, socket: &Path) -> Result<()> {
        self.configure_kubelet(&json!({ "containerRuntimeEndpoint": format!("unix://{}", socket.display()) }))
    }

    /// Gives the kubelet these values of its configuration, as [`Cluster::restart_kubelet`] does.
    pub fn configure_kubelet(&mut self, values: &Value) -> Result<()> {
        self.kubelet.configure(values)?;
        self.restart_kubelet()
    }

    /// Ends the API server in good order, and starts it again; waits until it is ready.
    pub fn restart_api_server(&mut self) -> Result<()> {
        self.control.restart_api(&self.node, &self.programs, &self.access)?;
        self.control.wait(&self.node, &self.kubectl)
    }

    /// The control groups of pods.
    pub fn pod_groups(&self) -> BTreeSet<PathBuf> {
        self.groups.of_pods()
    }

    /// Waits until pods have left nothing that was not there before; answers what they have left at the end of its patience.
    pub fn wait_until_clean(&self, before: &Inventory, patience: Duration) -> Result<BTreeSet<String>> {
        let deadline = Instant::now() + patience;
        loop {
            interrupt::check()?;
            let groups = self.pod_groups().into_iter().map(|group| format!("group {}", group.display()));
            let left: BTreeSet<_> = groups.chain(self.node.inventory()?.beyond(before)).collect();
            if left.is_empty() || Instant::now() > deadline {
                return Ok(left);
            }
            pause();
        }
    }

    /// The name of a program that has ended by itself, with what it has printed.
    pub fn ended(&mut self) -> Option<(String, String)> {
        if !self.node.daemon().runs() {
            return Some(("infranetes".to_owned(), self.node.daemon().printed()));
        }
        let processes = self.control.processes().chain([self.kubelet.process()]);
        let processes = processes.chain(self.services.processes());
        let mut ended = processes.filter_map(|process| (!process.runs()).then_some(process));
        ended.next().map(|process| (process.name().to_owned(), process.printed()))
    }
}

/// Where the logs of a cluster on this node are.
fn logs(node: &Node) -> PathBuf {
    node.dir().join("logs")
}

/// The manifest that people apply, too.
fn runtime_class() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/runtimeclass.yaml")
}

/// Gives the node an address that is not on the loopback: no other one may be a node's.
fn address(namespace: &Namespace) -> Result<()> {
    run(namespace.command("ip").args(["link", "add", "name", "node", "type", "bridge"]))
        .context("cannot make the node's interface")?;
    run(namespace.command("ip").args(["address", "add", &format!("{ADDRESS}/32"), "dev", "node"]))?;
    run(namespace.command("ip").args(["link", "set", "node", "up"]))?;
    // Nothing is there; but a packet to a Service needs a way before kube-proxy's rules give it another one.
    run(namespace.command("ip").args(["route", "add", SERVICES, "dev", "node", "src", ADDRESS]))?;
    Ok(())
}
