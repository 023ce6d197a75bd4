//! `infranetes exec`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use proto::runtime::v1::ExecSyncRequest;
use serde_json::json;

use super::Global;
use super::client::{Client, refusal};
use super::output::{self, Format};
use super::resolve::find;

/// How much longer than the command the call may take.
const GRACE_SECONDS: u64 = 10;

/// Options of `exec`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes exec app -- systemctl is-active nginx
  infranetes exec app --timeout 5 -- sh -c 'cat /etc/os-release; exit 3'
  infranetes -o json exec app -- uname -r | jq -r .stdout

The command gets no standard input. Its output comes when it has ended, at most 16 MB of each stream; its exit code
becomes ours. No shell is added: write `sh -c` where you need one.")]
pub struct ExecArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) async fn run(client: &Client, global: &Global, args: ExecArgs) -> anyhow::Result<ExitCode> {
    let target = find(client, &args.id).await?;
    let container = target.machine()?;
    if target.state() != "running" {
        bail!(
            "the machine of pod {} is {}, not running; see `infranetes logs {0}`",
            target.name(),
            target.state()
        );
    }
    let seconds = global.timeout.unwrap_or_default();
    let mut request = tonic::Request::new(ExecSyncRequest {
        container_id: container.id.clone(),
        cmd: args.command,
        timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
    });
    if seconds > 0 {
        request.set_timeout(std::time::Duration::from_secs(seconds + GRACE_SECONDS));
    }
    let answer = client.runtime().exec_sync(request).await;
    let what = format!("run the command in pod {}", target.name());
    let answer = answer.map_err(|status| refusal(&what, &status))?.into_inner();
    match global.output {
        Format::Json => output::json(&json!({
            "stdout": String::from_utf8_lossy(&answer.stdout),
            "stderr": String::from_utf8_lossy(&answer.stderr),
            "exitCode": answer.exit_code,
        }))?,
        Format::Text => {
            output::bytes(&answer.stdout)?;
            output::error_bytes(&answer.stderr)?;
        }
    }
    Ok(ExitCode::from(exit_code(answer.exit_code)))
}

/// A code of ours for the command's: Windows has larger ones, which must not turn into success.
fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_becomes_success() {
        assert_eq!(exit_code(0), 0);
        assert_eq!(exit_code(3), 3);
        assert_eq!(exit_code(256), 255);
        assert_eq!(exit_code(-1), 255);
    }
}
