//! The two commands of the README, and the checks that CI runs.
//!
//! ```text
//!   setup   what a fresh machine lacks is installed, each thing with its reason
//!   guest   disk images of sample guests, built once from the distribution's packages
//!   demo    a legacy VM image lives as a pod, shown step by step
//!   node    a ready node in the foreground, for crictl and for people
//!   cluster a whole Kubernetes on such a node, for kubectl and for people
//!   test    lint, unit, contract, end-to-end and fault tiers, one closing summary line
//!   bench   what it costs, beside what people would use instead
//!   clean   what was kept between runs is removed
//! ```
//!
//! Happy path: each command first asks `setup` for what it needs, takes from the [`cache`] what was built before, and
//! tells every step with its time. Failure paths: the first thing that cannot be done ends the command with an error
//! that names the thing and the remedy; a failing test does not end the run, but the exit code tells of it.

mod bench;
mod cache;
mod clean;
mod cluster;
mod critest;
mod demo;
mod guest;
mod node;
mod progress;
mod registry;
mod run;
mod setup;
mod test;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tests::interrupt;

/// Builds, tests and shows Infranetes.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
#[command(
    after_help = "Built images and tools are kept in ~/.cache/infranetes (or $XDG_CACHE_HOME/infranetes; \
$INFRANETES_CACHE names another folder).\nWhat is missing is installed by apt, on Debian and Ubuntu as root; \
nothing is installed where all is there."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, and say why.
    Setup(setup::Arguments),
    /// Build disk images of sample guests and print their paths.
    Guest(guest::Arguments),
    /// Show a legacy VM image that lives as a pod, step by step.
    Demo(demo::Arguments),
    /// Keep a ready node in the foreground until Ctrl-C.
    Node(node::Arguments),
    /// Keep a Kubernetes of one node in the foreground until Ctrl-C.
    Cluster(cluster::Arguments),
    /// Run the tests, all of them or one tier or one test.
    Test(test::Arguments),
    /// Measure, beside what people would use instead.
    Bench(bench::Arguments),
    /// Remove what was kept between runs.
    Clean,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = interrupt::listen().and_then(|()| match arguments.command {
        Command::Demo(arguments) => demo::command(&arguments),
        Command::Node(arguments) => node::command(&arguments),
        Command::Cluster(arguments) => cluster::command(&arguments),
        Command::Setup(arguments) => setup::command(&arguments),
        Command::Guest(arguments) => guest::command(&arguments),
        Command::Test(arguments) => test::command(&arguments),
        Command::Bench(arguments) => bench::command(&arguments),
        Command::Clean => clean::command(),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            progress::line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
