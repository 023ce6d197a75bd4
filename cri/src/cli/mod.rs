//! A person's command line to the daemon: what `crictl` and `docker` are elsewhere, for people on a node.
//!
//! ```text
//!  arguments -> Command -> one module a command -> client (CRI socket) -> output
//! ```
//!
//! Every command is a client of the CRI socket, the same that the kubelet uses; only `image import` works on the image
//! store's directory itself, because the CRI has no call for it, `fleet` reads the daemon's inventories, and `logs` and `console` open the file and the socket
//! that the daemon names.
//!
//! Happy path: the arguments are read, the socket is dialled, the command resolves what the person named
//! ([`resolve`]), makes its calls, and prints through [`output`], as aligned text or as JSON.
//!
//! Failure paths: no socket, no such pod, several such pods, a refusal by the daemon: each error names the thing and the
//! remedy, and the exit code is 1. `exec` exits as its command did. A reader that hangs up (`| head`) is no error.

mod client;
mod completion;
mod console;
mod exec;
mod fleet;
mod follow;
mod handler;
mod image;
mod inspect;
mod json;
mod labels;
mod log_line;
mod logs;
mod output;
mod ps;
mod resolve;
mod rm;
mod run;
mod size;
mod speak;
mod step;
mod stop;
mod table;
mod terminal;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use completion::Shell;
pub use output::{Format, complain};

use client::Client;

/// Runs virtual machine images as Kubernetes pods.
///
/// `infranetes serve` is the daemon that a kubelet talks to; every other command is a client of it, for people on the
/// node.
#[derive(Debug, Parser)]
#[command(name = "infranetes", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  infranetes serve --config /etc/infranetes/infranetes.toml
  infranetes image import disk.qcow2 --name legacy/app:1
  infranetes run infranetes.local/legacy/app:1 --name app --memory 1Gi
  infranetes ps
  infranetes logs -f app
  infranetes exec app -- systemctl status
  infranetes rm -f app")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The daemon's CRI socket.
    #[arg(
        long,
        global = true,
        value_name = "unix://PATH",
        env = "INFRANETES_ENDPOINT",
        default_value = "unix:///run/infranetes/infranetes.sock"
    )]
    endpoint: String,
    /// How to print: aligned text for people, JSON for programs.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// How long each call to the daemon may take, in seconds; of `exec`, how long the command may run.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

impl Global {
    fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the CRI to a kubelet, until SIGTERM.
    #[command(after_help = "Example:
  infranetes serve --config /etc/infranetes/infranetes.toml")]
    Serve {
        /// The configuration file, in TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run an image as a pod: pull it if it is absent, make the pod, boot its machine.
    Run(run::RunArgs),
    /// List pods with their machines.
    Ps(ps::PsArgs),
    /// Print the log of a pod's machine.
    Logs(logs::LogsArgs),
    /// Run a command in a pod's guest; its exit code becomes ours.
    Exec(exec::ExecArgs),
    /// Tell all that is known of a pod, as JSON.
    Inspect(inspect::InspectArgs),
    /// Shut a pod's machine down.
    Stop(stop::StopArgs),
    /// Remove pods with their machines and disks.
    Rm(rm::RmArgs),
    /// Connect this terminal to the serial console of a pod's machine.
    Console(console::ConsoleArgs),
    /// Images on this node.
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Machines that already run, which may become pods of this node.
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Print a script that completes these commands in a shell.
    Completion(completion::CompletionArgs),
}

impl Cli {
    /// What to do, for the caller that serves.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Runs a command of the client.
    ///
    /// # Errors
    ///
    /// What went wrong, with the remedy. `serve` is the caller's to run, and an error here.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match Box::pin(self.dispatch()).await {
            Err(error) if error.is::<output::ReaderGone>() => Ok(ExitCode::SUCCESS),
            told => told,
        }
    }

    async fn dispatch(self) -> anyhow::Result<ExitCode> {
        let global = self.global;
        match self.command {
            Command::Serve { .. } => anyhow::bail!("`serve` is no command of the client"),
            Command::Completion(args) => completion::run(&args),
            Command::Fleet(command) => fleet::run(&global, command).await,
            Command::Image(image::ImageCommand::Import(args)) => image::import::run(&global, args).await,
            command => {
                let client = Client::connect(&global).await?;
                match command {
                    Command::Run(args) => Box::pin(run::run(&client, &global, args)).await,
                    Command::Ps(args) => ps::run(&client, &global, &args).await,
                    Command::Logs(args) => logs::run(&client, &global, &args).await,
                    Command::Exec(args) => exec::run(&client, &global, args).await,
                    Command::Inspect(args) => inspect::run(&client, &args).await,
                    Command::Stop(args) => stop::run(&client, &args).await,
                    Command::Rm(args) => rm::run(&client, &args).await,
                    Command::Console(args) => console::run(&client, &args).await,
                    Command::Image(command) => image::run(&client, &global, command).await,
                    Command::Serve { .. } | Command::Completion(_) | Command::Fleet(_) => {
                        Ok(ExitCode::SUCCESS)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
