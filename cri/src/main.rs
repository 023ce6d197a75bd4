//! The program `infranetes`: the daemon (`serve`), and a person's command line to it.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cri::cli::{Cli, Command};
use cri::config::Config;
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_from_env("INFRANETES_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    cri::daemon::serve(Config::load(config)?).await?;
    Ok(())
}
