//! The facts of an image, as its recipe wrote them: `name=value` lines; a name told again has one value of several lines.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Reads the facts of an image.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        facts
            .entry(name.to_owned())
            .and_modify(|old| {
                old.push('\n');
                old.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_repeated_fact_has_several_lines() {
        let facts = parse("user=root\nhost-keys=ssh-ed25519 AAAA=\nhost-keys=ssh-rsa BBBB==\n");
        assert_eq!(facts["user"], "root");
        assert_eq!(facts["host-keys"], "ssh-ed25519 AAAA=\nssh-rsa BBBB==");
    }
}
