//! The YAML form: a tree of groups, each with `hosts`, `children` and `vars`.

use yaml_rust2::{Yaml, YamlLoader};

use super::{Groups, Variables, ini};

/// How deep groups may lie in one another.
const DEEPEST: usize = 64;

pub(super) fn read(text: &str) -> Result<Groups, String> {
    let documents = YamlLoader::load_from_str(text).map_err(|error| {
        let (line, why) = (error.marker().line(), error.info());
        format!("{line}: {why}")
    })?;
    let mut groups = Groups::default();
    for document in &documents {
        for (name, content) in pairs(document, "the inventory")? {
            group(&mut groups, &name, content, 0)?;
        }
    }
    Ok(groups)
}

fn group(groups: &mut Groups, name: &str, content: &Yaml, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("1: group {name:?} lies in more than {DEEPEST} others"));
    }
    groups.group(name);
    for (key, content) in pairs(content, name)? {
        match key.as_str() {
            "hosts" => {
                for (pattern, content) in pairs(content, &key)? {
                    let variables = variables(content, &pattern)?;
                    for host in ini::expand(&pattern).map_err(|why| format!("1: {why}"))? {
                        groups.host(name, &host).extend(variables.clone());
                    }
                }
            }
            "children" => {
                for (child, content) in pairs(content, &key)? {
                    groups.group(name).children.insert(child.clone());
                    group(groups, &child, content, depth + 1)?;
                }
            }
            "vars" => {
                let variables = variables(content, &key)?;
                groups.group(name).variables.extend(variables);
            }
            other => {
                return Err(format!(
                    "1: group {name:?} has {other:?}, which is none of hosts, children and vars"
                ));
            }
        }
    }
    Ok(())
}

fn pairs<'a>(content: &'a Yaml, of: &str) -> Result<Vec<(String, &'a Yaml)>, String> {
    match content {
        Yaml::Null | Yaml::BadValue => Ok(Vec::new()),
        Yaml::Hash(map) => Ok(map.iter().filter_map(|(key, value)| Some((text(key)?, value))).collect()),
        _ => Err(format!("1: what {of:?} holds are not names with values")),
    }
}

/// Variables that are one value; lists and trees are Ansible's own business.
fn variables(content: &Yaml, of: &str) -> Result<Variables, String> {
    let pairs = pairs(content, of)?.into_iter();
    Ok(pairs.filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}
