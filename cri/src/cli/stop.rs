//! `infranetes stop`: the guest shuts down, by force once its time is over; then the pod gives its address back.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use proto::runtime::v1::{StopContainerRequest, StopPodSandboxRequest};

use super::client::{Client, refusal};
use super::output;
use super::resolve::{Target, find};
use super::step::Step;

/// How much longer than the guest's own time a call may take.
const SPARE: Duration = Duration::from_secs(60);

/// Options of `stop`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes stop app
  infranetes stop app --grace 120
  infranetes stop app --grace 0     # by force, at once")]
pub struct StopArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
    /// How long the guest may take to shut down, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    grace: u32,
}

pub(super) async fn run(client: &Client, args: &StopArgs) -> anyhow::Result<ExitCode> {
    let target = find(client, &args.id).await?;
    stop(client, &target, args.grace).await?;
    output::line(&target.pod.id)?;
    Ok(ExitCode::SUCCESS)
}

async fn stop(client: &Client, target: &Target, grace: u32) -> anyhow::Result<()> {
    let name = target.name();
    let patience = Some(Duration::from_secs(u64::from(grace)) + SPARE);
    let step = Step::begin(format!("stopping pod {name}"));
    if let Some(container) = &target.container {
        let request = StopContainerRequest { container_id: container.id.clone(), timeout: i64::from(grace) };
        let stopped = client.runtime().stop_container(client.bounded(request, patience)).await;
        stopped.map_err(|status| refusal(&format!("stop the machine of pod {name}"), &status))?;
    }
    let request = StopPodSandboxRequest { pod_sandbox_id: target.pod.id.clone() };
    let stopped = client.runtime().stop_pod_sandbox(client.bounded(request, Some(SPARE))).await;
    stopped.map_err(|status| refusal(&format!("stop pod {name}"), &status))?;
    step.done(&format!("stopped pod {name}"));
    Ok(())
}
