//! The program `infranetes`: the daemon (`serve`), and a person's command line to it.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cri::cli::{Cli, Command};
use cri::config::Config;
use cri::telemetry::traces;

#[tokio::main]
async fn main() -> ExitCode {
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
