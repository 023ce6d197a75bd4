//! `cargo xtask demo`: a legacy VM image lives as a Kubernetes pod, step by step.
//!
//! ```text
//!   setup -> daemon built -> guest built -> registry filled -> node: namespace, registry, daemon
//!     -> pull -> run -> HTTP -> logs -> exec -> figures -> kill -9 of the daemon -> stop -> remove -> nothing is left
//! ```
//!
//! Happy path: the person's command line `infranetes` is driven as a person would, each command is shown before its
//! output, and each step tells its time. Failure paths: a step that fails, or Ctrl-C at any moment, ends the demo with what
//! went wrong; the node is dropped, and with it everything that was made: daemon, registry, machines, namespaces, files.

mod look;
mod session;
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use tests::{Node, Options};

use crate::progress;
use crate::{registry, run, setup, tree};
use session::Session;

/// The guest that is shown.
const GUEST: &str = "systemd";

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
#[command(
    after_help = "It installs what is missing, builds the daemon, makes a legacy machine from the distribution's \
packages, and runs it as\na pod on a node in a network namespace of its own. Nothing is left running. The first run takes \
minutes, later\nones less than two. Ctrl-C at any moment cleans up."
)]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn command(_: &Arguments) -> Result<ExitCode> {
    let began = Instant::now();
    setup::packages(&[setup::Group::Build, setup::Group::Guest, setup::Group::Run])?;
    build()?;
    let store = registry::store(&[GUEST])?;
    let prepared = began.elapsed();

    let step = progress::Step::begin("starting a node: a network namespace, a registry, the daemon");
    let node = Node::start(Options {
        binary: tree::daemon(),
        registry: Some(store),
        stands_for: vec![],
        // A slow machine boots within the step that starts it, too.
        config: "[timeouts]\nstart-wait-seconds = 110\n".to_owned(),
        machines: true,
        delegate: None,
    })?;
    step.end("it serves");

    let mut session = Session::new(node);
    let outcome = steps::all(&mut session);
    if outcome.is_err() && !tests::interrupt::asked() {
        session.show_daemon_log();
    }
    session.clean_up();
    outcome.context("the demo did not come to its end; everything it had made was removed")?;
    session.summary();
    progress::line(&format!(
        "The demo took {:.0} s: {:.0} s of preparation, {:.0} s for the pod.",
        began.elapsed().as_secs_f64(),
        prepared.as_secs_f64(),
        (began.elapsed().saturating_sub(prepared)).as_secs_f64()
    ));
    progress::line(
        "`cargo xtask node` keeps such a node running for you to try; docs/vm-pods.md tells more.",
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds the program `infranetes`.
pub(crate) fn build() -> Result<()> {
    run::step(
        "building infranetes",
        tree::cargo().args(["build", "--locked", "--package", "cri", "--bin", "infranetes"]),
    )
}
