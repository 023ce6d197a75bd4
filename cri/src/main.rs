//! The program `infranetes`: the daemon (`serve`), and a person's command line to it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cri::cli::{Cli, Command};
use cri::config::Config;
use cri::telemetry::traces;

/// How long work on files that was begun may go on once all else is over: a disk may hang.
const LAST_WORK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            cri::cli::complain(&anyhow::Error::new(error).context("cannot start"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(LAST_WORK);
    code
}

async fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command() {
        Command::Serve { config } => serve(config).await.map(|()| ExitCode::SUCCESS),
        _ => cli.run().await,
    };
    result.unwrap_or_else(|error| {
        cri::cli::complain(&error);
        ExitCode::FAILURE
    })
}

async fn serve(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let traces = traces::open(&config.tracing)?;
    let served = cri::daemon::serve(config).await;
    traces.close().await;
    Ok(served?)
}
