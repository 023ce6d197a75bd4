//! `infranetes run`: an image becomes a running pod, as the kubelet would do it.
//!
//! ```text
//!  image present? -no-> PullImage -> RunPodSandbox -> CreateContainer -> StartContainer -> told: id, name, address
//! ```
//!
//! What goes wrong from `RunPodSandbox` on, Ctrl-C included, removes the pod again: the machine, its disk and its
//! address and its log with it. The image stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use proto::runtime::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, ImageStatusRequest,
    LinuxContainerConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PullImageRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest,
};
use serde_json::json;

use super::client::{Client, refusal};
use super::output::{self, Format};
use super::rm::remove_log;
use super::step::Step;
use super::view::short;
use super::{Global, handler, labels, size};

/// What the machine's container is called.
const CONTAINER: &str = "machine";
/// Where its log is, below the log directory.
const LOG_PATH: &str = "machine/0.log";
/// How long the network of a pod may take.
const SANDBOX: Duration = Duration::from_secs(120);
/// How long the removal of a pod that failed may take.
const CLEAN_UP: Duration = Duration::from_secs(120);

/// Options of `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes run registry.example/legacy/app:1
  infranetes run infranetes.local/legacy/app:1 --name app --cpus 2 --memory 1Gi
  infranetes run registry.example/old:1 --annotation infranetes.io/log=file:/var/log/app.log
  infranetes -o json run registry.example/old:1 | jq -r .ip

The log is kept in /var/log/pods unless --log-directory says otherwise. Without --cpus and --memory the image says how
large the machine is, otherwise the daemon's configuration.")]
pub struct RunArgs {
    /// The image: a reference into a registry, or infranetes.local/NAME:TAG for an imported one.
    image: String,
    /// The pod's name. Default: the image's, with a few random letters.
    #[arg(long)]
    name: Option<String>,
    /// The pod's namespace.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Processors: 2, 0.5 or 1500m.
    #[arg(long, value_parser = size::cpus)]
    cpus: Option<u64>,
    /// Memory: 512Mi, 1Gi or a number of bytes.
    #[arg(long, value_parser = size::memory)]
    memory: Option<u64>,
    /// The runtime handler, which selects the provider. Default: the daemon's default one, or on a mixed node
    /// its only one for machines.
    #[arg(long, default_value = "", hide_default_value = true)]
    handler: String,
    /// A label of the pod; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = labels::pair)]
    labels: Vec<(String, String)>,
    /// An annotation of the pod; may be repeated.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = labels::pair)]
    annotations: Vec<(String, String)>,
    /// Where the log goes, as a directory on the node.
    #[arg(long, value_name = "DIR")]
    log_directory: Option<String>,
}

pub(super) async fn run(client: &Client, global: &Global, mut args: RunArgs) -> anyhow::Result<ExitCode> {
    args.handler = handler::meant(client, &args.handler).await?;
    let uid = uid().await?;
    let name = args.name.clone().unwrap_or_else(|| default_name(&args.image, &uid));
    let spec = ImageSpec {
        image: args.image.clone(),
        user_specified_image: args.image.clone(),
        runtime_handler: args.handler.clone(),
        ..ImageSpec::default()
    };
    let config = sandbox_config(&args, &name, uid);

    let image = tokio::select! {
        image = provide(client, &spec, &config) => image?,
        told = tokio::signal::ctrl_c() => { told?; bail!("interrupted before anything was made") }
    };

    let step = Step::begin(format!("making pod {name}"));
    let request =
        RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: args.handler.clone() };
    // Not to be interrupted: only its answer tells what there is to remove.
    let made = client.runtime().run_pod_sandbox(client.bounded(request, Some(SANDBOX))).await;
    let pod =
        made.map_err(|status| refusal(&format!("make pod {name}"), &status))?.into_inner().pod_sandbox_id;
    let started = tokio::select! {
        started = start(client, &args, &config, &pod, ImageSpec { image, ..spec }, step) => started,
        told = tokio::signal::ctrl_c() => told.map_err(Into::into).and_then(|()| bail!("interrupted")),
    };
    let (container, ip) = match started {
        Ok(started) => started,
        Err(error) => return Err(remove(client, &pod, &config, error).await),
    };

    match global.output {
        Format::Json => output::json(&json!({
            "id": pod, "name": name, "namespace": args.namespace, "containerId": container, "ip": ip,
        }))?,
        Format::Text => output::line(&format!("{}  {name}  {ip}", short(&pod)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Pulls the image where it is absent. Its id.
async fn provide(client: &Client, spec: &ImageSpec, config: &PodSandboxConfig) -> anyhow::Result<String> {
    let image = &spec.image;
    let asked = client.query(ImageStatusRequest { image: Some(spec.clone()), verbose: false });
    let known = client.images().image_status(asked).await;
    let known = known.map_err(|status| refusal(&format!("look for image {image}"), &status))?.into_inner();
    if let Some(known) = known.image {
        output::note(&format!("image {image} is here"));
        return Ok(known.id);
    }
    let step = Step::begin(format!("pulling {image}"));
    let request =
        PullImageRequest { image: Some(spec.clone()), auth: None, sandbox_config: Some(config.clone()) };
    let pulled = client.images().pull_image(client.bounded(request, None)).await;
    let pulled = pulled.map_err(|status| refusal(&format!("pull {image}"), &status))?.into_inner();
    step.done(&format!("pulled {image}"));
    Ok(pulled.image_ref)
}

/// What follows the pod: its machine. The container's id and the pod's address.
async fn start(
    client: &Client,
    args: &RunArgs,
    config: &PodSandboxConfig,
    pod: &str,
    image: ImageSpec,
    step: Step,
) -> anyhow::Result<(String, String)> {
    let status = client.pod_status(pod).await?.status;
    let ip = status.and_then(|status| status.network).map_or_else(String::new, |network| network.ip);
    step.done(&format!("made pod {} at {}", short(pod), if ip.is_empty() { "no address" } else { &ip }));

    let step = Step::begin("defining the machine".to_owned());
    let request = CreateContainerRequest {
        pod_sandbox_id: pod.to_owned(),
        config: Some(container_config(args, image)),
        sandbox_config: Some(config.clone()),
    };
    let made = client.runtime().create_container(client.bounded(request, Some(SANDBOX))).await;
    let container = made.map_err(|status| refusal("define the machine", &status))?.into_inner().container_id;
    step.done("defined the machine");

    let step = Step::begin("booting the machine; its log tells more".to_owned());
    let request = StartContainerRequest { container_id: container.clone() };
    let started = client.runtime().start_container(client.bounded(request, None)).await;
    started.map_err(|status| refusal("boot the machine", &status))?;
    step.done("the machine runs");
    Ok((container, ip))
}

/// Removes a pod that came to nothing. The error to tell.
async fn remove(
    client: &Client,
    pod: &str,
    config: &PodSandboxConfig,
    error: anyhow::Error,
) -> anyhow::Error {
    let name = &config.hostname;
    let step = Step::begin(format!("removing pod {name} again"));
    let request = client.bounded(RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() }, Some(CLEAN_UP));
    match client.runtime().remove_pod_sandbox(request).await {
        Ok(_) => {
            step.done(&format!("removed pod {name} again"));
            remove_log(&Path::new(&config.log_directory).join(LOG_PATH)).await;
            error
        }
        Err(status) => error.context(format!(
            "pod {name} could not be removed again ({}); do so by `infranetes rm -f {}`",
            status.message(),
            short(pod)
        )),
    }
}

fn sandbox_config(args: &RunArgs, name: &str, uid: String) -> PodSandboxConfig {
    let mut labels: BTreeMap<_, _> = args.labels.iter().cloned().collect();
    labels.insert(labels::MADE_HERE.to_owned(), "true".to_owned());
    let log_directory = match &args.log_directory {
        Some(directory) => directory.clone(),
        None => format!("/var/log/pods/{}_{name}_{uid}", args.namespace),
    };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid,
            namespace: args.namespace.clone(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory,
        labels,
        annotations: args.annotations.iter().cloned().collect(),
        linux: Some(LinuxPodSandboxConfig {
            resources: size::resources(args.cpus, args.memory),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

fn container_config(args: &RunArgs, image: ImageSpec) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: CONTAINER.to_owned(), attempt: 0 }),
        image: Some(image),
        labels: args.labels.iter().cloned().collect(),
        annotations: args.annotations.iter().cloned().collect(),
        log_path: LOG_PATH.to_owned(),
        linux: Some(LinuxContainerConfig {
            resources: size::resources(args.cpus, args.memory),
            ..LinuxContainerConfig::default()
        }),
        ..ContainerConfig::default()
    }
}

/// A pod's unique id. The kernel makes them.
async fn uid() -> anyhow::Result<String> {
    let source = "/proc/sys/kernel/random/uuid";
    let uid = tokio::fs::read_to_string(source).await.with_context(|| format!("cannot read {source}"))?;
    Ok(uid.trim().to_owned())
}

/// The last part of an image's name as a DNS label, with the beginning of the uid.
fn default_name(image: &str, uid: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let last = last.split(['@', ':']).next().unwrap_or(last);
    let label: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(50)
        .collect();
    let label = label.trim_matches('-');
    let unique = uid.get(..5).unwrap_or(uid);
    format!("{}-{unique}", if label.is_empty() { "pod" } else { label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_images() {
        let uid = "0a1b2c3d-0000";
        assert_eq!(default_name("registry.example:5000/legacy/My_App:1", uid), "my-app-0a1b2");
        assert_eq!(default_name("app@sha256:00", uid), "app-0a1b2");
        assert_eq!(default_name("__", uid), "pod-0a1b2");
        assert!(default_name(&"x".repeat(300), uid).len() < 63);
    }

    #[tokio::test]
    async fn uids_are_unique() {
        let (one, other) = (uid().await.unwrap(), uid().await.unwrap());
        assert_eq!(one.len(), 36);
        assert_ne!(one, other);
    }
}
