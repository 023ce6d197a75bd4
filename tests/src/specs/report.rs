//! The JSON report of ginkgo, as far as it is of interest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What a run tells of each spec.
#[derive(Debug)]
pub struct Report {
    /// In the order in which they ran.
    pub specs: Vec<Spec>,
}

/// A spec that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its full name: the containers it stands in, then its own.
    pub name: String,
    /// How it ended.
    pub state: State,
}

/// How a spec ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It passed.
    Passed,
    /// It left itself out, or a filter did.
    Skipped(String),
    /// Anything else: what it says, and what it wrote last.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    /// `null` where nothing ran.
    spec_reports: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    failure: Failure,
    #[serde(default)]
    captured_ginkgo_writer_output: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Failure {
    message: String,
}

/// How many of a failed spec's last lines are kept.
const LAST_LINES: usize = 30;

impl Report {
    /// Reads a report, without the specs that have one of these words: they are none of this kind of run.
    pub fn read(path: &Path, without: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("there is no report {}", path.display()))?;
        Self::parse(&text, without).with_context(|| format!("{} cannot be read", path.display()))
    }

    fn parse(text: &str, without: &str) -> Result<Self> {
        let suites: Vec<Suite> = serde_json::from_str(text)?;
        let entries = suites.into_iter().filter_map(|suite| suite.spec_reports).flatten();
        let mut specs = Vec::new();
        for entry in entries {
            let name = entry.name();
            let is_spec = entry.leaf_node_type == "It";
            // What comes before and after all specs is told of only where it fails.
            if (is_spec && !name.contains(without)) || (!is_spec && entry.state != "passed") {
                specs.push(Spec { name, state: entry.state() });
            }
        }
        if specs.is_empty() {
            bail!("it has no spec");
        }
        Ok(Self { specs })
    }
}

impl Entry {
    fn name(&self) -> String {
        let texts = self.container_hierarchy_texts.iter().flatten().map(String::as_str);
        let own = if self.leaf_node_type == "It" { &self.leaf_node_text } else { &self.leaf_node_type };
        texts.chain([own.as_str()]).collect::<Vec<_>>().join(" ")
    }

    fn state(self) -> State {
        match self.state.as_str() {
            "passed" => State::Passed,
            "skipped" | "pending" => State::Skipped(self.failure.message),
            state => {
                let lines: Vec<&str> = self.captured_ginkgo_writer_output.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                State::Failed(format!("{state}: {}\n{last}", self.failure.message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_spec_and_its_end() {
        let text = r#"[{"SpecReports": [
            {"ContainerHierarchyTexts": null, "LeafNodeType": "BeforeSuite", "LeafNodeText": "", "State": "passed"},
            {"ContainerHierarchyTexts": ["a", "b"], "LeafNodeType": "It", "LeafNodeText": "c", "State": "passed"},
            {"ContainerHierarchyTexts": ["a"], "LeafNodeType": "It", "LeafNodeText": "d", "State": "skipped",
             "Failure": {"Message": "not here"}},
            {"ContainerHierarchyTexts": ["a"], "LeafNodeType": "It", "LeafNodeText": "e", "State": "timedout",
             "Failure": {"Message": "too long"}, "CapturedGinkgoWriterOutput": "one\ntwo"},
            {"ContainerHierarchyTexts": ["a"], "LeafNodeType": "It", "LeafNodeText": "benchmark", "State": "skipped"}
        ]}]"#;
        let report = Report::parse(text, "benchmark").unwrap();
        let specs: Vec<_> =
            report.specs.iter().map(|spec| (spec.name.as_str(), spec.state.clone())).collect();
        assert_eq!(
            specs,
            [
                ("a b c", State::Passed),
                ("a d", State::Skipped("not here".to_owned())),
                ("a e", State::Failed("timedout: too long\none\ntwo".to_owned())),
            ]
        );
    }

    #[test]
    fn a_run_without_specs_is_no_success() {
        assert!(Report::parse(r#"[{"SpecReports": null}]"#, "x").is_err());
        assert!(Report::parse("[]", "x").is_err());
        let failed_before = r#"[{"SpecReports": [{"LeafNodeType": "BeforeSuite", "LeafNodeText": "", "State": "panicked",
            "ContainerHierarchyTexts": null}]}]"#;
        let report = Report::parse(failed_before, "x").unwrap();
        assert!(matches!(&report.specs[0].state, State::Failed(why) if why.starts_with("panicked")));
    }
}
