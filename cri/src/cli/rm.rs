//! `infranetes rm`: removes pods. Of pods that `run` made, also their logs, which no kubelet collects.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use proto::runtime::v1::{ContainerState, PodSandboxState, RemovePodSandboxRequest, StopPodSandboxRequest};

use super::client::{Client, refusal};
use super::labels::MADE_HERE;
use super::output;
use super::resolve::{Target, find};
use super::step::Step;

/// How long the removal of one pod may take.
const REMOVAL: Duration = Duration::from_secs(120);

/// Options of `rm`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes rm app
  infranetes rm -f app other")]
pub struct RmArgs {
    /// The pods: ids, beginnings of ids, or names.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Pods whose machine still runs, too; it is switched off.
    #[arg(long, short)]
    force: bool,
}

pub(super) async fn run(client: &Client, args: &RmArgs) -> anyhow::Result<ExitCode> {
    // All are found before the first is removed: a typing mistake removes nothing.
    let mut targets: Vec<Target> = Vec::new();
    for id in &args.ids {
        let target = find(client, id).await?;
        if !args.force && runs(&target) {
            bail!("the machine of pod {} runs; stop it first, or remove it by force with -f", target.name());
        }
        if targets.iter().all(|known| known.pod.id != target.pod.id) {
            targets.push(target);
        }
    }
    for target in targets {
        remove(client, &target).await?;
        output::line(&target.pod.id)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn runs(target: &Target) -> bool {
    let running = i32::from(ContainerState::ContainerRunning);
    let ready = i32::from(PodSandboxState::SandboxReady);
    target.pod.state == ready && target.container.as_ref().is_some_and(|container| container.state == running)
}

async fn remove(client: &Client, target: &Target) -> anyhow::Result<()> {
    let name = target.name();
    let log = match &target.container {
        Some(container) if target.pod.labels.contains_key(MADE_HERE) => {
            client.container_status(&container.id).await?.status.map(|status| status.log_path)
        }
        _ => None,
    };
    let step = Step::begin(format!("removing pod {name}"));
    let request = StopPodSandboxRequest { pod_sandbox_id: target.pod.id.clone() };
    let stopped = client.runtime().stop_pod_sandbox(client.bounded(request, Some(REMOVAL))).await;
    stopped.map_err(|status| refusal(&format!("stop pod {name}"), &status))?;
    let request = RemovePodSandboxRequest { pod_sandbox_id: target.pod.id.clone() };
    let removed = client.runtime().remove_pod_sandbox(client.bounded(request, Some(REMOVAL))).await;
    removed.map_err(|status| refusal(&format!("remove pod {name}"), &status))?;
    step.done(&format!("removed pod {name}"));
    if let Some(log) = log.filter(|log| !log.is_empty()) {
        remove_log(Path::new(&log)).await;
    }
    Ok(())
}

/// Removes the log and the two directories above it, as far as nothing else is in them.
pub(super) async fn remove_log(log: &Path) {
    match tokio::fs::remove_file(log).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            output::note(&format!("the log {} stays: {error}", log.display()));
            return;
        }
        _ => {}
    }
    for directory in log.ancestors().skip(1).take(2) {
        if tokio::fs::remove_dir(directory).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_goes_with_its_directories_but_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("keep/pod/machine/0.log");
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::fs::write(&log, "x").unwrap();
        remove_log(&log).await;
        assert!(!folder.path().join("keep/pod").exists());
        assert!(folder.path().join("keep").exists());

        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::fs::write(&log, "x").unwrap();
        let rotated = log.with_file_name("0.log.1");
        std::fs::write(&rotated, "x").unwrap();
        remove_log(&log).await;
        assert!(rotated.exists());
    }
}
