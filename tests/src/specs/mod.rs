//! The specs of a conformance program: what ran and how it ended, held against the list of those that are left out.
//!
//! ```text
//!   the program's report + the list --judge--> passed | failed, with why | left out, with the reason
//! ```
//!
//! Happy path: every spec passed, or is in the list with its reason. Failure paths: a spec that failed, or left itself out
//! and is not in the list; a name in the list that no spec has; a spec that the program says nothing of.

mod list;
mod report;

pub use list::List;
pub use report::{Report, Spec, State};

/// How it went with one spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It did not, and what there is to say of that.
    Failed(String),
    /// It is in the list, with this reason.
    Listed(String),
}

/// Holds a report against the list. Names in the list that no spec has are failures too.
pub fn judge(report: &Report, list: &List) -> Vec<(String, Verdict)> {
    let mut verdicts: Vec<(String, Verdict)> =
        report.specs.iter().map(|spec| (spec.name.clone(), of(spec, list.reason(&spec.name)))).collect();
    let known = |name: &str| report.specs.iter().any(|spec| spec.name == name);
    let unknown = list.names().filter(|name| !known(name));
    verdicts.extend(unknown.map(|name| {
        (name.to_owned(), Verdict::Failed("it is in the list, and there is no such spec".to_owned()))
    }));
    verdicts
}

fn of(spec: &Spec, listed: Option<&str>) -> Verdict {
    match (&spec.state, listed) {
        (State::Passed, None) => Verdict::Passed,
        (State::Skipped(_), Some(reason)) => Verdict::Listed(reason.to_owned()),
        (State::Passed, Some(_)) => Verdict::Failed(
            "it is in the list of those that are left out, and it passes: take it out".to_owned(),
        ),
        (State::Skipped(why), None) => {
            Verdict::Failed(format!("it did not run and is not in the list: {why}"))
        }
        (State::Failed(why), None) => Verdict::Failed(why.clone()),
        (State::Failed(why), Some(reason)) => {
            Verdict::Failed(format!("it was to be left out ({reason}), and ran: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(specs: &[(&str, State)]) -> Report {
        let spec = |(name, state): &(&str, State)| Spec { name: (*name).to_owned(), state: state.clone() };
        Report { specs: specs.iter().map(spec).collect() }
    }

    #[test]
    fn every_spec_is_run_or_listed() {
        let list = List::parse("[[group]]\nreason = \"no kernel\"\nspecs = [\"a\", \"gone\"]\n").unwrap();
        let skipped = || State::Skipped("by the filter".to_owned());
        let report = report(&[
            ("a", skipped()),
            ("b", State::Passed),
            ("c", skipped()),
            ("d", State::Failed("no".to_owned())),
        ]);
        let verdicts = judge(&report, &list);
        let failed = |name: &str| {
            verdicts.iter().any(|(of, verdict)| of == name && matches!(verdict, Verdict::Failed(_)))
        };
        assert_eq!(verdicts[0], ("a".to_owned(), Verdict::Listed("no kernel".to_owned())));
        assert_eq!(verdicts[1], ("b".to_owned(), Verdict::Passed));
        assert!(failed("c"), "it neither ran nor is it listed");
        assert!(failed("d") && failed("gone"));
        assert_eq!(verdicts.len(), 5);
    }

    #[test]
    fn a_listed_spec_that_passes_has_to_leave_the_list() {
        let list = List::parse("[[group]]\nreason = \"no\"\nspecs = [\"a\"]\n").unwrap();
        let verdicts = judge(&report(&[("a", State::Passed)]), &list);
        assert!(matches!(&verdicts[0].1, Verdict::Failed(why) if why.contains("take it out")));
    }
}
