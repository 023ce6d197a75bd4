//! The same specs on containerd, and on containerd behind Infranetes: each ends the same way on both.
//!
//! Nothing is left out here: what containerd fails, and what leaves itself out there, has to do so behind us too. Where most of
//! them do, containerd is not well here, and says nothing of us.
//!
//! The specs run beside each other on a busy machine, and may be late on one side only. So one that ends differently runs once
//! more on each, alone; what differs twice has failed.

use std::mem::discriminant;
use std::time::Instant;

use anyhow::Result;
use tests::critest::Critest;
use tests::specs::{List, Report, State};

use crate::runtime::{Kind, Runtime};
use crate::{keep, say};

/// How many specs run once more at most: where more end differently, that is no lateness.
const AGAIN: usize = 5;

/// How a spec has ended on containerd, and behind us; none where it did not run.
type Ends = (Option<State>, Option<State>);

/// Runs them on both; says whether all is well.
pub(crate) fn run(critest: &Critest, list: &List, filter: Option<&str>) -> Result<bool> {
    let began = Instant::now();
    let ran = |kind, filter: Option<&str>| -> Result<(Report, Runtime)> {
        let runtime = Runtime::start(kind)?;
        Ok((critest.specs(runtime.place(), list, filter, false)?, runtime))
    };
    // Beside each other: most of the time both wait.
    let (direct, through) = std::thread::scope(|scope| {
        let direct = scope.spawn(|| -> Result<Report> { Ok(ran(Kind::Containerd, filter)?.0) });
        let through = ran(Kind::Delegate, filter);
        (direct.join().expect("a panic has been told"), through)
    });
    let (direct, (through, mut runtime)) = (direct?, through?);
    let alone = |name: &str| -> Result<Ends> {
        let direct = ran(Kind::Containerd, Some(name))?.0;
        let through = ran(Kind::Delegate, Some(name))?.0;
        Ok((end(&direct, name), end(&through, name)))
    };
    let mut again = 0;
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for spec in direct.specs.iter().filter(|spec| filter.is_none_or(|filter| spec.name.contains(filter))) {
        let mut ends = (Some(spec.state.clone()), end(&through, &spec.name));
        let name = format!("{} (behind us)", spec.name);
        if !are_alike(&ends) && again < AGAIN {
            again += 1;
            let (direct, behind) = &ends;
            say(&format!("{name} runs once more, alone\non containerd {direct:?}\nbehind us {behind:?}"));
            ends = alone(&spec.name)?;
        }
        match &ends {
            (Some(State::Passed), Some(State::Passed)) => {
                passed += 1;
                say(&format!("test {name} ... ok"));
            }
            (Some(State::Skipped(why)), Some(State::Skipped(_))) => {
                ignored += 1;
                say(&format!("test {name} ... ignored, containerd itself skips it: {why}"));
            }
            (Some(State::Failed(_)), Some(State::Failed(_))) => {
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

/// How a spec has ended.
fn end(report: &Report, name: &str) -> Option<State> {
    report.specs.iter().find(|spec| spec.name == name).map(|spec| spec.state.clone())
}

/// Whether it ended the same way on both.
fn are_alike((direct, behind): &Ends) -> bool {
    direct.as_ref().map(discriminant) == behind.as_ref().map(discriminant)
}
