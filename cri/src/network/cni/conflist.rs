//! The configuration list in force: the first usable file of the directory, read anew for each call.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::error::{Error, Result};

const FILE_BYTES: u64 = 1 << 20;

/// The first list in lexical order; a file with one plugin becomes a list of one.
pub(in super::super) fn first(directory: &Path) -> Result<Value> {
    let shown = directory.display();
    let remedy = "install a CNI network there, or choose the built-in network";
    let entries = std::fs::read_dir(directory).map_err(|error| {
        Error::NotReady(format!("cannot read the CNI directory {shown}: {error}; {remedy}"))
    })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| ["conflist", "conf", "json"].iter().any(|known| kind == *known))
        })
        .collect();
    files.sort();
    let file = files.first().ok_or_else(|| {
        Error::NotReady(format!("no CNI configuration (*.conflist, *.conf, *.json) in {shown}; {remedy}"))
    })?;
    let wrong = |why: String| {
        Error::NotReady(format!("CNI configuration {}: {why}; correct the file", file.display()))
    };
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if size > FILE_BYTES {
        return Err(wrong(format!("{size} bytes are more than {FILE_BYTES}")));
    }
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    normal(value).map_err(wrong)
}

/// The versions of CNI whose results are understood, the newest first.
const VERSIONS: [&str; 5] = ["1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0"];

/// The newest version that both the configuration and the daemon know.
fn version(value: &Value) -> Result<&'static str, String> {
    let offered: Vec<&str> = [&value["cniVersion"]]
        .into_iter()
        .chain(value["cniVersions"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    VERSIONS.into_iter().find(|known| offered.contains(known)).ok_or_else(|| match offered[..] {
        [] => "it has no \"cniVersion\"; use 0.3.0 to 1.1.0".to_owned(),
        _ => format!("cniVersion {} is not supported; use 0.3.0 to 1.1.0", offered.join(", ")),
    })
}

fn normal(value: Value) -> Result<Value, String> {
    let version = version(&value)?;
    let name = value["name"].as_str().filter(|name| !name.is_empty()).ok_or("it has no \"name\"")?.to_owned();
    let list = if value.get("plugins").is_some() {
        let mut list = value;
        list["cniVersion"] = version.into();
        list
    } else {
        json!({ "cniVersion": version, "name": name, "plugins": [value] })
    };
    let plugins = list["plugins"]
        .as_array()
        .filter(|all| !all.is_empty())
        .ok_or("\"plugins\" is no list of plugins")?;
    for plugin in plugins {
        let kind = plugin["type"].as_str().ok_or("a plugin has no \"type\"")?;
        if kind.is_empty() || kind.contains('/') || kind.starts_with('.') {
            return Err(format!("the plugin type {kind:?} is no file name"));
        }
    }
    Ok(list)
}

/// The list of the built-in network; a pod without ports on the node is spared the plugin for them.
pub(in super::super) fn builtin(
    subnets: &[String],
    bridge: &str,
    mtu: u32,
    data: &Path,
    with_ports: bool,
) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    let routes: Vec<Value> = subnets
        .iter()
        .map(|subnet| json!({ "dst": if subnet.contains(':') { "::/0" } else { "0.0.0.0/0" } }))
        .collect();
    let mut plugins = vec![json!({
        "type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true, "mtu": mtu,
        "ipam": { "type": "host-local", "ranges": ranges, "routes": routes, "dataDir": data },
    })];
    if with_ports {
        plugins.push(json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true }));
    }
    json!({ "cniVersion": "1.0.0", "name": "infranetes", "plugins": plugins })
}
