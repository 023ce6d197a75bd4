//! `infranetes exec`: without `-i` and `-t` by `ExecSync`, which gives both streams at the end; with them by a session.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use proto::runtime::v1::{ExecRequest, ExecSyncRequest};
use serde_json::json;

use super::Global;
use super::client::{Client, refusal};
use super::output::{self, Format};
use super::resolve::find;
use super::speak::speak;
use super::terminal::RawTerminal;

/// How much longer than the command the call may take.
const GRACE_SECONDS: u64 = 10;

/// Options of `exec`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes exec app -- systemctl is-active nginx
  infranetes exec app --timeout 5 -- sh -c 'cat /etc/os-release; exit 3'
  infranetes -o json exec app -- uname -r | jq -r .stdout
  infranetes exec -it app -- sh
  tar -c . | infranetes exec -i app -- tar -x -C /srv

Its exit code becomes ours. Without -i and -t the output comes when the command has ended, at most 16 MB of each stream.
No shell is added: write `sh -c` where you need one.")]
pub struct ExecArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
    /// Pass our standard input on.
    #[arg(short, long)]
    interactive: bool,
    /// Run it on a terminal, joined to ours.
    #[arg(short, long)]
    tty: bool,
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
    let what = format!("run the command in pod {}", target.name());
    if args.interactive || args.tty {
        if global.timeout.is_some() || global.output == Format::Json {
            bail!(
                "-i and -t go with neither --timeout nor JSON: the command runs until it ends, its output as it is"
            );
        }
        let request = ExecRequest {
            container_id: container.id.clone(),
            cmd: args.command,
            tty: args.tty,
            stdin: args.interactive,
            stdout: true,
            stderr: !args.tty,
        };
        let url =
            client.runtime().exec(request).await.map_err(|status| refusal(&what, &status))?.into_inner().url;
        let terminal = if args.tty { Some(RawTerminal::take()?) } else { None };
        let code = Box::pin(speak(&url, args.interactive, terminal))
            .await
            .with_context(|| format!("cannot {what}"))?;
        return Ok(ExitCode::from(exit_code(code)));
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

/// A code of ours for the command's: some guests have larger ones, which must not turn into success.
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
