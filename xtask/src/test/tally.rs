//! Counting results in what `cargo test` writes.
//!
//! ```text
//!   results --"successes:"--> successes --"failures:"--> failures --"test result:"--> results
//! ```
//!
//! The last line of each test program has the counts. A test that found that it cannot run writes `skipped: REASON` and
//! passes; it is counted as skipped, with its reason. Failure paths: a program that does not compile, dies before its
//! last line, or is silent for too long and is ended, counts as one failure.

use std::collections::BTreeSet;

use super::excuse::excused;

/// The results of everything that ran.
#[derive(Default)]
pub(super) struct Tally {
    passed: u64,
    failed: Vec<String>,
    /// Name, reason and whether the reason holds here.
    skipped: Vec<(String, String, bool)>,
}

impl Tally {
    /// Counts a check that passed or failed.
    pub(super) fn check(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }

    /// Begins to read the output of one call of `cargo test`.
    pub(super) fn begin(&mut self, title: &str) -> Reader<'_> {
        let failed_before = self.failed.len();
        Reader {
            tally: self,
            title: title.to_owned(),
            part: Part::Results,
            test: String::new(),
            program: String::new(),
            silent: BTreeSet::new(),
            failed_before,
        }
    }

    /// Whether nothing failed, and nothing was skipped without need.
    pub(super) fn good(&self) -> bool {
        self.failed.is_empty() && self.skipped.iter().all(|(_, _, excused)| *excused)
    }

    /// Lists what failed and what was skipped, then the one closing line.
    pub(super) fn report(&self, say: &mut dyn FnMut(&str)) {
        for (name, reason, excused) in &self.skipped {
            let verdict = if *excused { "" } else { " (it could have run here: this counts as a failure)" };
            say(&format!("skipped {name}: {reason}{verdict}"));
        }
        for name in &self.failed {
            say(&format!("FAILED {name}"));
        }
        say(&format!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len()));
    }

    fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned(), excused(reason)));
    }
}

#[derive(PartialEq)]
enum Part {
    Results,
    Successes,
    Failures,
}

/// Reads the output of one call of `cargo test`.
pub(super) struct Reader<'a> {
    tally: &'a mut Tally,
    title: String,
    part: Part,
    /// The test whose output is being read.
    test: String,
    /// The test program that runs.
    program: String,
    /// Tests of this program that passed by being skipped.
    silent: BTreeSet<String>,
    failed_before: usize,
}

impl Reader<'_> {
    /// Reads a line; answers whether it is worth showing.
    pub(super) fn read(&mut self, line: &str) -> bool {
        let text = line.trim();
        if let Some(program) = text.strip_prefix("Running ").or_else(|| text.strip_prefix("Doc-tests ")) {
            program.split(" (").next().unwrap_or_default().clone_into(&mut self.program);
        } else if let Some(counts) = text.strip_prefix("test result: ") {
            self.counts(counts);
        } else if text == "successes:" {
            self.part = Part::Successes;
            return false;
        } else if text == "failures:" {
            self.part = Part::Failures;
        } else if let Some(name) =
            text.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            name.clone_into(&mut self.test);
        } else if let Some(at) = skipped(text) {
            let by = match self.part {
                // Written past the harness: only the begun line, if it is one, tells by whom.
                Part::Results => {
                    started(text).map_or_else(|| format!("test {}", self.silent.len() + 1), str::to_owned)
                }
                Part::Successes | Part::Failures => self.test.clone(),
            };
            if self.part != Part::Failures && self.silent.insert(by.clone()) {
                self.tally.skip(&format!("{}: {by}", self.program), text[at..].trim());
            }
            return true;
        } else if let Some((name, how)) = text.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            let name = format!("{}: {name}", self.program);
            if how == "FAILED" {
                self.tally.failed.push(name);
            } else if let Some(reason) = how.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                self.tally.skip(&name, if reason.is_empty() { "ignored" } else { reason });
            }
        }
        self.part != Part::Successes
    }

    /// Notes that the test program was silent for too long, at this line, and is ended.
    pub(super) fn ended(&mut self, begun: &str) {
        let at = if begun.is_empty() { String::new() } else { format!(", at {begun:?}") };
        self.silent.clear();
        self.part = Part::Results;
        self.tally.failed.push(format!("{}: it was silent for too long and was ended{at}", self.program));
    }

    /// `ok. 5 passed; 1 failed; …`: failures and ignored tests were counted by name.
    fn counts(&mut self, counts: &str) {
        let passed = counts
            .split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(" passed"))
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or_default();
        self.tally.passed += passed.saturating_sub(self.silent.len() as u64);
        self.silent.clear();
        self.part = Part::Results;
    }

    /// Ends the reading. A call that failed with no failed test counts as a failure of its own.
    pub(super) fn end(self, success: bool) {
        if !success && self.tally.failed.len() == self.failed_before {
            self.tally.failed.push(format!("{}: cargo test itself failed (see above)", self.title));
        }
    }
}

/// Where the reason begins, if the line tells of a skipped test.
fn skipped(text: &str) -> Option<usize> {
    const MARK: &str = "skipped:";
    if text.starts_with(MARK) {
        return Some(MARK.len());
    }
    // The harness has begun the line: `test NAME ... skipped: …`.
    let at = text.find(" ... ")? + " ... ".len();
    (text.starts_with("test ") && text[at..].starts_with(MARK)).then_some(at + MARK.len())
}

/// The test whose line was begun.
fn started(text: &str) -> Option<&str> {
    text.strip_prefix("test ")?.split_once(" ... ").map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn report(output: &str, success: bool) -> (Vec<String>, bool) {
        let mut tally = Tally::default();
        let mut reader = tally.begin("unit");
        for line in output.lines() {
            reader.read(line);
        }
        reader.end(success);
        let mut lines = Vec::new();
        tally.report(&mut |line| lines.push(line.to_owned()));
        (lines, tally.good())
    }

    #[test]
    fn passed_and_failed_tests_are_counted() {
        let (lines, good) = report(
            "     Running unittests src/lib.rs (target/debug/deps/a-1)\ntest a::b ... ok\ntest a::c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            false,
        );
        assert_eq!(lines, ["FAILED unittests src/lib.rs: a::c", "1 passed, 1 failed, 0 skipped"]);
        assert!(!good);
    }

    #[test]
    fn a_test_that_skips_itself_did_not_pass() {
        let (lines, good) = report(
            "     Running tests/x.rs (target/x)\ntest one ... ok\ntest two ... ok\nsuccesses:\n\n---- one stdout ----\n\
             skipped: the moon is full\n\nsuccesses:\n    one\n    two\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
            true,
        );
        assert!(
            lines[0].starts_with("skipped tests/x.rs: one: the moon is full (it could have run"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "1 passed, 0 failed, 1 skipped");
        assert!(!good);
    }

    #[test]
    fn an_ignored_test_is_skipped() {
        let (lines, good) = report(
            "test slow ... ignored, too slow\n\
             test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n",
            true,
        );
        assert_eq!(lines.last().map(String::as_str), Some("0 passed, 0 failed, 1 skipped"));
        assert!(!good);
    }

    #[test]
    fn a_program_that_was_ended_is_a_failure() {
        let mut tally = Tally::default();
        let mut reader = tally.begin("unit");
        for line in ["     Running tests/x.rs (target/x)", "test one ... ok"] {
            reader.read(line);
        }
        reader.ended("test two ... ");
        for line in ["     Running tests/y.rs (target/y)", "test result: ok. 2 passed; 0 failed; 0 ignored"] {
            reader.read(line);
        }
        reader.end(false);
        let mut lines = Vec::new();
        tally.report(&mut |line| lines.push(line.to_owned()));
        let failed = "FAILED tests/x.rs: it was silent for too long and was ended, at \"test two ... \"";
        assert_eq!(lines, [failed, "2 passed, 1 failed, 0 skipped"]);
    }

    #[test]
    fn what_does_not_compile_is_a_failure() {
        let (lines, good) = report("error[E0425]: cannot find value `x` in this scope\n", false);
        assert_eq!(lines.last().map(String::as_str), Some("0 passed, 1 failed, 0 skipped"));
        assert!(!good);
    }
}
