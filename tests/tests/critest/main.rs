//! `critest`, the conformance program of the CRI, against a real daemon on real machines.
//!
//! ```text
//!   place: namespace + registry under upstream's names + runtime -> ginkgo runs critest -> report + list -> verdicts
//! ```
//!
//! Happy path: every spec passes, or stands in `left-out.toml` with the reason. Failure paths: see [`tests::specs`]; a
//! failed spec is shown with what it wrote last, and the runtime's log is kept beside the report.
//!
//! Run by `cargo xtask test --tier critest`, which builds critest where there is a Go to do so. It speaks as Rust's own test
//! programs do. With a filter (`cargo xtask test --tier critest Streaming`) only the specs whose names contain it run, and
//! then also those in the list: one that passes has to leave it.
//!
//! The same harness runs the same specs on containerd, to prove itself: a spec that fails there too says nothing of us. For
//! containerd behind us it runs all of them on both, and compares.

mod compare;
mod runtime;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use runtime::{Kind, Runtime};
use tests::critest::Critest;
use tests::interrupt;
use tests::specs::{List, Verdict, judge};

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(critest) = Critest::find() else {
        say("test critest ... ignored, critest is not here, there was no Go to build it");
        say("test result: ok. 0 passed; 0 failed; 1 ignored");
        return ExitCode::SUCCESS;
    };
    match interrupt::listen().and_then(|()| run(&critest, filter.as_deref())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the specs; says whether all is well.
fn run(critest: &Critest, filter: Option<&str>) -> Result<bool> {
    let list = List::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/critest/left-out.toml"))?;
    let kind = Kind::asked();
    if kind == Kind::Delegate {
        return compare::run(critest, &list, filter);
    }
    let mut runtime = Runtime::start(kind)?;
    let began = Instant::now();
    // The list tells of ours: that the peer passes what is in it is no news.
    let left_out = filter.is_none() || runtime.is_peer();
    let report = critest.specs(runtime.place(), &list, filter, left_out)?;
    let (mut passed, mut failed, mut listed) = (0, 0, 0);
    for (name, verdict) in judge(&report, &list) {
        if filter.is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        match verdict {
            Verdict::Passed => {
                passed += 1;
                say(&format!("test {name} ... ok"));
            }
            Verdict::Failed(why) => {
                failed += 1;
                say(&format!("test {name} ... FAILED\n{why}"));
            }
            Verdict::Listed(reason) => {
                listed += 1;
                say(&format!("test {name} ... ignored, listed: {reason}"));
            }
        }
    }
    keep(&runtime, failed)?;
    let left = runtime.left()?;
    if !left.is_empty() {
        failed += 1;
        say(&format!("test nothing is left on the node ... FAILED\n{}", left.join("\n")));
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let time = began.elapsed().as_secs();
    say(&format!(
        "test result: {word}. {passed} passed; {failed} failed; {listed} ignored; finished in {time} s"
    ));
    Ok(failed == 0)
}

/// Keeps the logs of a run in which something failed.
fn keep(runtime: &Runtime, failed: u32) -> Result<()> {
    if let Some(folder) = std::env::var_os("INFRANETES_CRITEST_LOG").filter(|_| failed > 0) {
        let to = PathBuf::from(folder);
        let report = runtime.place().dir().join("critest/report.json");
        for (file, name) in [(runtime.log(), "daemon.log"), (report, "report.json")] {
            std::fs::copy(&file, to.join(name)).with_context(|| format!("cannot keep {}", file.display()))?;
        }
    }
    Ok(())
}

/// Says a line to whoever reads the results.
fn say(line: &str) {
    // Nobody reads: there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{line}");
}
