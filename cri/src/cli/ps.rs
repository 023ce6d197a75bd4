//! `infranetes ps`.

use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::Global;
use super::client::Client;
use super::output::{self, Format};
use super::resolve::{Target, targets};
use super::table::table;
use super::view;

/// How many pods are asked for their address at once.
const AT_ONCE: usize = 16;

/// Options of `ps`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes ps
  infranetes ps -a
  infranetes -o json ps | jq -r '.[].ip'")]
pub struct PsArgs {
    /// The pods that have ended, too.
    #[arg(long, short)]
    all: bool,
}

pub(super) async fn run(client: &Client, global: &Global, args: &PsArgs) -> anyhow::Result<ExitCode> {
    let targets = targets(client).await?.into_iter().filter(|target| args.all || lives(target));
    let rows: Vec<(Target, String)> = stream::iter(targets)
        .map(|target| async move {
            // A pod may be removed while the list is made; then it has no address any more.
            let status = match client.pod_status(&target.pod.id).await {
                Ok(answer) => answer.status,
                Err(error) => {
                    tracing::debug!(%error, "a listed pod cannot be asked");
                    None
                }
            };
            let ip = status.and_then(|status| status.network).map_or_else(String::new, |network| network.ip);
            anyhow::Ok((target, ip))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    match global.output {
        Format::Json => output::json(&rows.iter().map(|(target, ip)| json(target, ip)).collect())?,
        Format::Text => output::bytes(text(&rows, view::now()).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the pod is ready, and its machine has not ended.
fn lives(target: &Target) -> bool {
    super::view::pod_state(target.pod.state) == "ready" && target.state() != "exited"
}

fn image(target: &Target) -> &str {
    let Some(container) = &target.container else { return "" };
    let Some(spec) = &container.image else { return &container.image_ref };
    if spec.user_specified_image.is_empty() { &spec.image } else { &spec.user_specified_image }
}

fn text(rows: &[(Target, String)], now: i64) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(target, ip)| {
            [
                view::short(&target.pod.id).to_owned(),
                target.name(),
                target.namespace().to_owned(),
                shown(image(target)),
                target.state().to_owned(),
                ip.clone(),
                view::age(target.pod.created_at, now),
            ]
        })
        .collect();
    table(["ID", "NAME", "NAMESPACE", "IMAGE", "STATE", "IP", "AGE"], &rows)
}

/// An image that is only known by its digest is cut as ids are.
fn shown(image: &str) -> String {
    if image.starts_with("sha256:") { view::short(image).to_owned() } else { image.to_owned() }
}

fn json(target: &Target, ip: &str) -> Value {
    json!({
        "id": target.pod.id,
        "name": target.name(),
        "namespace": target.namespace(),
        "podState": view::pod_state(target.pod.state),
        "state": target.state(),
        "containerId": target.container.as_ref().map(|container| &container.id),
        "image": image(target),
        "ip": ip,
        "createdAt": view::instant(target.pod.created_at),
        "handler": target.pod.runtime_handler,
        "labels": target.pod.labels,
        "annotations": target.pod.annotations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::{Container, ContainerState, ImageSpec, PodSandbox, PodSandboxMetadata};

    fn target(state: ContainerState) -> Target {
        let metadata =
            PodSandboxMetadata { name: "app".into(), namespace: "default".into(), ..Default::default() };
        let image = ImageSpec {
            image: "sha256:00".into(),
            user_specified_image: "app:1".into(),
            ..Default::default()
        };
        Target {
            pod: PodSandbox { id: "0123456789abcdef".into(), metadata: Some(metadata), ..Default::default() },
            container: Some(Container { state: state.into(), image: Some(image), ..Default::default() }),
        }
    }

    #[test]
    fn a_row_tells_the_pod_and_its_machine() {
        let rows = [(target(ContainerState::ContainerRunning), "10.0.0.2".to_owned())];
        let expected = "\
ID             NAME   NAMESPACE   IMAGE   STATE     IP         AGE
0123456789ab   app    default     app:1   running   10.0.0.2   2m
";
        assert_eq!(text(&rows, 120_000_000_000), expected);
    }

    #[test]
    fn ended_machines_are_left_out() {
        assert!(lives(&target(ContainerState::ContainerRunning)));
        assert!(!lives(&target(ContainerState::ContainerExited)));
        assert!(lives(&Target { container: None, ..target(ContainerState::ContainerExited) }));
    }
}
