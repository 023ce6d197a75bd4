//! `cargo xtask cluster`: a Kubernetes of one node in the foreground, for `kubectl` and for people.
//!
//! ```text
//!   setup -> Kubernetes, daemon and guests built -> node -> etcd, API server -> controllers, scheduler, kubelet
//!     -> kube-proxy, CoreDNS, metrics-server -> what to type is printed -> Ctrl-C -> all of it is removed
//! ```
//!
//! Happy path: the cluster is made as the tests make theirs, and stays until Ctrl-C. Failure paths: without a Go that could
//! build Kubernetes there is none, which is said before anything else is made; a program of the cluster that ends by itself ends
//! the command with what it wrote last; however it ends, all of it is removed, and pods that were left are named.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tests::{Cluster, Options, interrupt};

use crate::progress::{self, Step};
use crate::{demo, node, registry, run, setup, tree};

/// Arguments of `cargo xtask cluster`.
#[derive(clap::Args)]
#[command(
    after_help = "The node of the cluster is one as `cargo xtask node` makes it: a network namespace, a registry with the \
sample images,\nand the daemon, which is the kubelet's only runtime. Services, their names and `kubectl top` work. It stays until Ctrl-C. The first run builds Kubernetes by \
Go,\nwhich takes minutes.

Examples:
  cargo xtask cluster                         all sample images
  cargo xtask cluster --guest mini            only the one that boots fastest"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: node::Content,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.node.config()?;
    let guests = arguments.node.guests();
    setup::packages(&[setup::Group::Build, setup::Group::Guest, setup::Group::Run])?;
    let programs = setup::kubernetes()?.context(
        "Kubernetes is built by Go, and there is none that is new enough: install Go 1.26 or newer",
    )?;
    demo::build()?;
    let store = registry::store(&guests)?;
    let options = Options {
        binary: tree::daemon(),
        registry: Some(store),
        stands_for: vec![],
        config,
        machines: true,
        delegate: None,
    };
    let began = Instant::now();
    let mut step: Option<Step> = None;
    let mut cluster = Cluster::start(options, &programs, &mut |title| {
        if let Some(step) = step.take() {
            step.end("done");
        }
        step = Some(Step::begin(title));
    })?;
    if let Some(step) = step {
        step.end("done");
    }
    let before = cluster.node().inventory()?;
    tell(&cluster, &guests, began.elapsed().as_secs_f64())?;
    let mut ended = None;
    while !interrupt::asked() && ended.is_none() {
        run::pause();
        ended = cluster.ended();
    }
    progress::line("");
    node::tell_left(cluster.node(), &before);
    let step = Step::begin("removing the cluster and all that is on its node");
    drop(cluster);
    step.end("done");
    if let Some((name, printed)) = ended.filter(|_| !interrupt::asked()) {
        bail!("{name} has ended by itself:\n{}", node::last_lines(&printed));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a person needs.
fn tell(cluster: &Cluster, guests: &[&str], took: f64) -> Result<()> {
    let node = cluster.node();
    let kubectl = cluster.kubectl();
    let images: Vec<_> =
        guests.iter().map(|name| format!("{}/guests/{name}:latest", node.registry())).collect();
    let first = images.first().context("the node has no image")?;
    let pod = node.dir().join("pod.yaml");
    std::fs::write(&pod, manifest(first)).with_context(|| format!("cannot write {}", pod.display()))?;

    let say = progress::line;
    say(&format!("\nThe cluster is ready, in {took:.1} s.\n"));
    say(&format!("  kubeconfig {}", kubectl.config().display()));
    say(&format!("  kubectl    {}", kubectl.program().display()));
    say(&format!("  logs       {}", cluster.logs().display()));
    say(&format!("  daemon     {}", node.log().display()));
    say(&format!(
        "  namespace  {}    (the API server and pods are reached from here: nsenter --net={} -- COMMAND)",
        node.namespace().name(),
        node.namespace().path().display()
    ));
    for image in &images {
        say(&format!("  image      {image}"));
    }
    say("\nA VM pod:\n");
    let folder = kubectl.program().parent().unwrap_or(kubectl.program());
    say(&format!("  export PATH={}:$PATH", folder.display()));
    say(&format!("  kubectl apply -f {}", pod.display()));
    say("  kubectl wait --for=condition=Ready pod/app --timeout=300s");
    say("  kubectl get pods -o wide; kubectl logs app; kubectl exec app -- uname -a; kubectl top pod app");
    say("\nA Service, by its address and its name:\n");
    say("  kubectl expose pod app --port=80");
    say(&format!(
        "  nsenter --net={} -- curl http://$(kubectl get service app -o 'jsonpath={{.spec.clusterIP}}')/",
        node.namespace().path().display()
    ));
    say("  kubectl exec app -- busybox wget -qO- http://app.default.svc.cluster.local/");
    say("\nCtrl-C ends the cluster.");
    Ok(())
}

/// The manifest of a VM pod, which is Ready when its guest answers.
fn manifest(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: app
  labels:
    app: app
spec:
  runtimeClassName: vm
  containers:
    - name: machine
      image: {image}
      readinessProbe:
        exec:
          command: [\"true\"]
"
    )
}
