//! `infranetes logs`: the CRI log file that the daemon names, read here.
//!
//! With `-f` inotify tells when there is more. The protocol has no event for the end of a container, so beside that the
//! daemon is asked at long intervals whether the machine still runs; it tells the end only after the last line, so one
//! more look at the file completes the log.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use proto::runtime::v1::ContainerState;
use serde_json::json;

use super::Global;
use super::client::Client;
use super::follow::{LogReader, Watch};
use super::log_line::{LogLine, Stream};
use super::output::{self, Format};
use super::resolve::find;

/// How often the daemon is asked whether the machine still runs.
const STILL_RUNNING: Duration = Duration::from_secs(5);

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes logs app
  infranetes logs -f --tail 20 app
  infranetes -o json logs app | jq -r .text

A machine's log begins with its serial console and goes on with what the image or the pod names: the journal, a file or
the console. Only the newest file of a rotated log is read.")]
pub struct LogsArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
    /// Go on until the machine ends or Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines.
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// When each line was written.
    #[arg(long, short)]
    timestamps: bool,
}

pub(super) async fn run(client: &Client, global: &Global, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let target = find(client, &args.id).await?;
    let container = target.machine()?.id.clone();
    let status = client.container_status(&container).await?.status.unwrap_or_default();
    if status.log_path.is_empty() {
        bail!("pod {} keeps no log: it was made without a log path", target.name());
    }
    let path = PathBuf::from(status.log_path);
    let mut printer = Printer { format: global.output, timestamps: args.timestamps, within: false };
    let mut reader = LogReader::new(&path);
    // Watched before it is read for the first time, so that nothing written in between goes unseen.
    let watch = if args.follow { Some(Watch::new(&path)?) } else { None };

    let mut last = VecDeque::new();
    let found = reader.lines(|line| {
        let Some(tail) = args.tail else { return printer.print(line) };
        last.push_back(line.to_owned());
        // Parts of a line count with the whole one that ends them.
        while last.iter().filter(|line| ends(line)).count() > tail {
            last.pop_front();
        }
        Ok(())
    })?;
    for line in last {
        printer.print(&line)?;
    }
    match watch {
        Some(watch) => follow(client, &container, &mut reader, watch, &mut printer).await?,
        None if !found => bail!("there is no log at {} yet; wait for it with -f", path.display()),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(
    client: &Client,
    container: &str,
    reader: &mut LogReader,
    mut watch: Watch,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut ask = tokio::time::interval(STILL_RUNNING);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let ended = tokio::select! {
            () = watch.changed() => false,
            _ = ask.tick() => ended(client, container).await?,
            told = &mut interrupted => return Ok(told?),
        };
        reader.lines(|line| printer.print(line))?;
        if ended {
            return Ok(());
        }
    }
}

/// Whether the machine will write no more. A container that was removed has ended.
async fn ended(client: &Client, container: &str) -> anyhow::Result<bool> {
    let containers = client.containers().await?;
    let found = containers.iter().find(|each| each.id == container);
    Ok(found.is_none_or(|found| found.state == i32::from(ContainerState::ContainerExited)))
}

/// Whether the line is whole or the last part of one.
fn ends(line: &[u8]) -> bool {
    LogLine::parse(line).is_none_or(|line| !line.partial)
}

struct Printer {
    format: Format,
    timestamps: bool,
    /// Whether the last line printed was a part that the next one goes on with.
    within: bool,
}

impl Printer {
    fn print(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let Some(line) = LogLine::parse(line) else {
            output::note(&format!("not a line of a CRI log: {}", line.escape_ascii()));
            return Ok(());
        };
        if self.format == Format::Json {
            let text = String::from_utf8_lossy(&line.text);
            let told = json!({
                "time": line.time, "stream": line.stream.name(), "partial": line.partial, "text": text,
            });
            return output::line(&told.to_string());
        }
        let mut text = Vec::new();
        if self.timestamps && !self.within {
            text.extend_from_slice(line.time.as_bytes());
            text.push(b' ');
        }
        text.append(&mut line.written());
        self.within = line.partial;
        match line.stream {
            Stream::Stdout => output::bytes(&text),
            Stream::Stderr => output::error_bytes(&text),
        }
    }
}
