//! `cargo xtask node`: a ready node in the foreground, for `crictl` and for people.
//!
//! Happy path: the node is made as the tests make theirs (a network namespace, a registry with the sample images, the
//! daemon), its endpoint and ready-made command lines are printed, and it stays until Ctrl-C. Failure paths: a daemon that
//! ends by itself ends the command with what it wrote last; however it ends, all of it is removed, and pods that were
//! left are named.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tests::{Inventory, Node, Options, interrupt};

use crate::progress::{self, Step};
use crate::{demo, guest, registry, run, setup, tree};

/// Arguments of `cargo xtask node`.
#[derive(clap::Args)]
#[command(
    after_help = "The node has a network namespace, a registry with the sample images, and a daemon. It stays \
until Ctrl-C.

Examples:
  cargo xtask node                            all sample images
  cargo xtask node --guest mini               only the one that boots fastest
  cargo xtask node --config more.toml         with further configuration, see docs/configuration.md"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    content: Content,
}

/// What a node has beside what each one has.
#[derive(clap::Args)]
pub(crate) struct Content {
    /// A sample image that the registry shall have; may be repeated. All of them if none is named.
    #[arg(long = "guest", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(guest::NAMES))]
    guests: Vec<String>,
    /// Further configuration of the daemon, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.content.config()?;
    let guests = arguments.content.guests();
    setup::packages(&[setup::Group::Build, setup::Group::Guest, setup::Group::Run])?;
    let crictl = setup::crictl()?;
    demo::build()?;
    let store = registry::store(&guests)?;
    let step = Step::begin("starting the node");
    let mut node = Node::start(Options {
        binary: tree::daemon(),
        registry: Some(store),
        stands_for: vec![],
        config,
        machines: true,
        delegate: None,
    })?;
    step.end("it serves");
    let before = node.inventory()?;

    tell(&node, &guests, crictl.as_deref())?;
    while !interrupt::asked() && node.daemon().runs() {
        run::pause();
    }
    let ended = (!node.daemon().runs()).then(|| node.daemon().printed());
    progress::line("");
    tell_left(&node, &before);
    let step = Step::begin("removing the node and all that is on it");
    drop(node);
    step.end("done");
    if let Some(printed) = ended.filter(|_| !interrupt::asked()) {
        bail!("the daemon has ended by itself:\n{}", last_lines(&printed));
    }
    Ok(ExitCode::SUCCESS)
}

impl Content {
    /// The further configuration.
    pub(crate) fn config(&self) -> Result<String> {
        let Some(file) = &self.config else { return Ok(String::new()) };
        std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration {}", file.display()))
    }

    /// The sample images.
    pub(crate) fn guests(&self) -> Vec<&'static str> {
        let asked = |name: &&str| self.guests.is_empty() || self.guests.iter().any(|asked| asked == name);
        guest::NAMES.into_iter().filter(asked).collect()
    }
}

/// Tells what pods have left that will be removed with the node.
pub(crate) fn tell_left(node: &Node, before: &Inventory) {
    let left = node.inventory().map(|inventory| inventory.beyond(before)).unwrap_or_default();
    if !left.is_empty() {
        progress::line(&format!("{} things of pods are left on the node and are removed:", left.len()));
        left_pods(node).lines().for_each(|line| progress::line(&format!("  {line}")));
    }
}

/// The end of what a program has printed.
pub(crate) fn last_lines(printed: &str) -> String {
    let lines: Vec<_> = printed.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The pods as `infranetes ps` shows them; nothing where the daemon does not answer.
fn left_pods(node: &Node) -> String {
    let mut command = std::process::Command::new(tree::daemon());
    command.arg(format!("--endpoint=unix://{}", node.socket().display()));
    run::output(command.args(["--timeout", "10", "ps", "--all"])).unwrap_or_default()
}

/// Prints what a person needs.
fn tell(node: &Node, guests: &[&str], crictl: Option<&Path>) -> Result<()> {
    let endpoint = format!("unix://{}", node.socket().display());
    let images: Vec<_> =
        guests.iter().map(|name| format!("{}/guests/{name}:latest", node.registry())).collect();
    let first = images.first().context("the node has no image")?;
    let dir = node.dir();
    let pod = dir.join("pod.json");
    std::fs::write(
        &pod,
        serde_json::to_vec_pretty(&json!({
            "metadata": { "name": "pod", "uid": "1", "namespace": "default", "attempt": 0 },
            "log_directory": node.pod_logs().join("pod"),
            "linux": {},
        }))?,
    )?;
    let container = dir.join("container.json");
    std::fs::write(
        &container,
        serde_json::to_vec_pretty(&json!({
            "metadata": { "name": "machine", "attempt": 0 },
            "image": { "image": first },
            "log_path": "machine/0.log",
            "linux": {},
        }))?,
    )?;

    let say = progress::line;
    say("\nThe node is ready.\n");
    say(&format!("  endpoint   {endpoint}"));
    say(&format!("  log        {}", node.log().display()));
    say(&format!(
        "  namespace  {}    (reach pods from here: nsenter --net={} -- ssh root@POD-IP)",
        node.namespace().name(),
        node.namespace().path().display()
    ));
    for image in &images {
        say(&format!("  image      {image}"));
    }
    say("\nFor people:\n");
    say(&format!("  export INFRANETES_ENDPOINT={endpoint} PATH=$PATH:{}", folder(&tree::daemon())));
    say(&format!(
        "  infranetes run {first} --name app --log-directory {}",
        node.pod_logs().join("app").display()
    ));
    say("  infranetes ps; infranetes logs app; infranetes exec app -- uname -a; infranetes rm -f app");
    match crictl {
        Some(crictl) => {
            say("\nFor crictl:\n");
            say(&format!(
                "  export CONTAINER_RUNTIME_ENDPOINT={endpoint} IMAGE_SERVICE_ENDPOINT={endpoint} PATH=$PATH:{}",
                folder(crictl)
            ));
            say(&format!("  crictl --timeout 300s pull {first}"));
            say(&format!("  P=$(crictl --timeout 60s runp {})", pod.display()));
            say(&format!("  C=$(crictl create $P {} {})", container.display(), pod.display()));
            say(
                "  crictl --timeout 300s start $C; crictl exec -s $C uname -a; crictl logs $C; crictl rmp -f $P",
            );
        }
        None => say(
            "\ncrictl is not here: it is built where Go is; any crictl 1.3x works with the endpoint above.",
        ),
    }
    say("\nCtrl-C ends the node.");
    Ok(())
}

fn folder(path: &Path) -> std::path::Display<'_> {
    path.parent().unwrap_or(path).display()
}
