//! The list of specs that are left out: groups of names with a reason, in TOML.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The specs that are left out, each with its reason.
#[derive(Debug, Default)]
pub struct List {
    reasons: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    specs: Vec<String>,
}

impl List {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no list of specs", path.display()))
    }

    /// Reads the list. A spec stands in it once, and each group has a reason.
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut reasons = BTreeMap::new();
        for Group { reason, specs } in file.group {
            if reason.trim().is_empty() {
                bail!("a group has no reason");
            }
            for spec in specs {
                if reasons.insert(spec.clone(), reason.clone()).is_some() {
                    bail!("{spec:?} is in it twice");
                }
            }
        }
        Ok(Self { reasons })
    }

    /// Why this spec is left out; none if it is not.
    pub fn reason(&self, name: &str) -> Option<&str> {
        self.reasons.get(name).map(String::as_str)
    }

    /// The names of the specs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.reasons.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_has_one_reason() {
        let text = "[[group]]\nreason = \"r\"\nspecs = [\"a\", \"b\"]\n";
        let list = List::parse(text).unwrap();
        assert_eq!((list.reason("b"), list.reason("c")), (Some("r"), None));
        assert!(List::parse(&text.repeat(2)).unwrap_err().to_string().contains("twice"));
        assert!(List::parse(&text.replace("\"r\"", "\" \"")).is_err());
        assert!(List::parse(&text.replace("reason", "why")).is_err());
    }
}
