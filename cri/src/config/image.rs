//! The `[images]` section and the `[[image]]` rules.

use std::path::PathBuf;

use guests::Family;
use images::{Facts, Os};
use serde::Deserialize;

/// Registries and limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ImagesConfig {
    /// Registry hosts (`host:port`) that are spoken to in plain HTTP.
    pub plain_http: Vec<String>,
    /// Files with further certificate authorities, in PEM.
    pub ca_files: Vec<PathBuf>,
    /// The largest virtual disk in GiB.
    pub max_disk_gib: u64,
    /// The most that the layers of one image may unpack to, in GiB.
    pub max_unpacked_gib: u64,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        Self { plain_http: vec![], ca_files: vec![], max_disk_gib: 512, max_unpacked_gib: 256 }
    }
}

/// Facts of the images whose name matches a pattern.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageRule {
    /// The image's full name, without a tag `latest`; `*` stands for any characters.
    pub pattern: String,
    /// The facts.
    #[serde(default)]
    pub facts: Facts,
}

impl ImageRule {
    /// Whether an image of this name is meant. The kubelet gives a name without a tag the tag `latest`, as everybody does.
    pub fn matches(&self, name: &str) -> bool {
        self.fits(name) || name.strip_suffix(":latest").is_some_and(|name| self.fits(name))
    }

    fn fits(&self, name: &str) -> bool {
        let Some((first, rest)) = self.pattern.split_once('*') else { return self.pattern == name };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(name) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else {
            return false;
        };
        let mut left = name;
        middle.split('*').all(|part| match left.split_once(part) {
            Some((_, after)) => {
                left = after;
                true
            }
            None => false,
        })
    }
}

/// The family of the guest that these are the facts of.
pub fn family(facts: &Facts) -> Family {
    match facts.os.unwrap_or_default() {
        Os::Linux => Family::Unix,
        Os::Windows => Family::Windows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::facts::check;

    #[test]
    fn a_log_is_one_that_the_system_has() {
        let facts = |os, log: &str| Facts { os, log: Some(log.into()), ..Facts::default() };
        check(&facts(None, r"file:C:\x")).unwrap();
        check(&facts(Some(Os::Windows), r"file:C:\x")).unwrap();
        for (os, log) in [(Some(Os::Linux), r"file:C:\x"), (Some(Os::Windows), "journal"), (None, "x")] {
            assert!(check(&facts(os, log)).unwrap_err().contains("is none of"), "{log}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, name: &str| {
            ImageRule { pattern: pattern.into(), facts: Facts::default() }.matches(name)
        };
        assert!(matches("infranetes.local/*", "infranetes.local/legacy/app:1"));
        assert!(matches("*/app:*", "infranetes.local/legacy/app:1"));
        assert!(matches("r:5000/a:1", "r:5000/a:1"));
        assert!(matches("*", "anything"));
        assert!(matches("a*b*c", "aXbYc"));
        assert!(matches("fleet/web-1", "fleet/web-1:latest"));
        assert!(matches("fleet/web-1:latest", "fleet/web-1:latest"));
        assert!(matches("*/legacy/app", "r:5000/legacy/app:latest"));
        assert!(!matches("fleet/web-1", "fleet/web-1:2"));
        assert!(!matches("r:5000/a:1", "r:5000/a:12"));
        assert!(!matches("r/*:1", "r/a:2"));
        assert!(!matches("ab*ba", "aba"));
    }
}
