//! The same specs on containerd, and on containerd behind Infranetes: each ends the same way on both.
//!
//! Nothing is left out here: what containerd fails, and what leaves itself out there, has to do so behind us too. Where most of
//! them do, containerd is not well here, and says nothing of us.

use std::time::Instant;

use anyhow::Result;
use tests::critest::Critest;
use tests::specs::{List, Report, State};

use crate::runtime::{Kind, Runtime};
use crate::{keep, say};

/// Runs them on both; says whether all is well.
pub(crate) fn run(critest: &Critest, list: &List, filter: Option<&str>) -> Result<bool> {
    let began = Instant::now();
    let ran = |kind| -> Result<(Report, Runtime)> {
        let runtime = Runtime::start(kind)?;
        Ok((critest.specs(runtime.place(), list, filter, false)?, runtime))
    };
    // Beside each other: most of the time both wait.
    let (direct, through) = std::thread::scope(|scope| {
        let direct = scope.spawn(|| -> Result<Report> { Ok(ran(Kind::Containerd)?.0) });
        let through = ran(Kind::Delegate);
        (direct.join().expect("a panic has been told"), through)
    });
    let (direct, (through, mut runtime)) = (direct?, through?);
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for spec in direct.specs.iter().filter(|spec| filter.is_none_or(|filter| spec.name.contains(filter))) {
        let behind = through.specs.iter().find(|other| other.name == spec.name).map(|spec| &spec.state);
        let name = format!("{} (behind us)", spec.name);
        match (&spec.state, behind) {
            (State::Passed, Some(State::Passed)) => {
                passed += 1;
                say(&format!("test {name} ... ok"));
            }
            (State::Skipped(why), Some(State::Skipped(_))) => {
                ignored += 1;
                say(&format!("test {name} ... ignored, containerd itself skips it: {why}"));
            }
            (State::Failed(_), Some(State::Failed(_))) => {
                ignored += 1;
                say(&format!("test {name} ... ignored, containerd itself fails it"));
            }
            (direct, behind) => {
                failed += 1;
                say(&format!("test {name} ... FAILED\non containerd {direct:?}\nbehind us {behind:?}"));
            }
        }
    }
    for name in through.specs.iter().map(|spec| &spec.name) {
        if !direct.specs.iter().any(|spec| spec.name == *name) {
            failed += 1;
            say(&format!("test {name} (behind us) ... FAILED\nit did not run on containerd itself"));
        }
    }
    if filter.is_none() && passed < ignored {
        failed += 1;
        say(&format!("test containerd is well here ... FAILED\n{passed} specs pass on it, {ignored} do not"));
    }
    keep(&runtime, failed)?;
    let left = runtime.left()?;
    if !left.is_empty() {
        failed += 1;
        say(&format!("test nothing is left on the node (behind us) ... FAILED\n{}", left.join("\n")));
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let time = began.elapsed().as_secs();
    say(&format!(
        "test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; finished in {time} s"
    ));
    Ok(failed == 0)
}
