//! One call of one plugin, and the chain of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::command::run;
use super::super::error::{Error, Result};
use super::super::{PodNetworkRequest, netns};
use super::cache::Entry;

const DEADLINE: Duration = Duration::from_mins(1);
/// How much of each text of a plugin is told, in characters.
const TOLD: usize = 2000;

/// Finds a plugin.
pub(in super::super) fn find(kind: &str, directories: &[PathBuf]) -> Result<PathBuf> {
    directories.iter().map(|directory| directory.join(kind)).find(|path| path.is_file()).ok_or_else(|| {
        let shown: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
        Error::NotReady(format!("the CNI plugin {kind} is in none of {}; install it there", shown.join(", ")))
    })
}

/// Finds every plugin of a list, those for addresses too.
pub(in super::super) fn find_all(list: &Value, directories: &[PathBuf]) -> Result<()> {
    for plugin in list["plugins"].as_array().into_iter().flatten() {
        for kind in [&plugin["type"], &plugin["ipam"]["type"]].into_iter().filter_map(Value::as_str) {
            find(kind, directories)?;
        }
    }
    Ok(())
}

/// ADD along the chain; the last result.
pub(in super::super) async fn add(entry: &Entry, directories: &[PathBuf]) -> Result<Value> {
    let mut result = None;
    for plugin in entry.list["plugins"].as_array().into_iter().flatten() {
        result = call("ADD", entry, plugin, result.as_ref(), directories).await?;
    }
    result.ok_or_else(|| Error::said("CNI ADD gave no result", "correct the plugins of the configuration"))
}

/// DEL against the chain. Every plugin is asked; the first failure is told.
pub(in super::super) async fn del(entry: &Entry, directories: &[PathBuf]) -> Result<()> {
    let mut outcome = Ok(());
    for plugin in entry.list["plugins"].as_array().into_iter().flatten().rev() {
        let done = call("DEL", entry, plugin, entry.result.as_ref(), directories).await;
        outcome = outcome.and(done.map(drop));
    }
    outcome
}

async fn call(
    verb: &str,
    entry: &Entry,
    plugin: &Value,
    previous: Option<&Value>,
    directories: &[PathBuf],
) -> Result<Option<Value>> {
    let kind = plugin["type"].as_str().unwrap_or_default();
    let path = find(kind, directories)?;
    let config = configuration(&entry.list, plugin, &entry.request, previous);
    let namespace = netns::path(&entry.request.id);
    let shown = |path: &Path| path.display().to_string();
    let gone = verb == "DEL" && !namespace.exists();
    let env = [
        ("CNI_COMMAND", verb.to_owned()),
        ("CNI_CONTAINERID", entry.request.id.clone()),
        ("CNI_NETNS", if gone { String::new() } else { shown(&namespace) }),
        ("CNI_IFNAME", "eth0".to_owned()),
        ("CNI_PATH", directories.iter().map(|path| shown(path)).collect::<Vec<_>>().join(":")),
        ("CNI_ARGS", arguments(&entry.request)),
    ];
    let output = run(&path, &[], &env, config.to_string().as_bytes(), DEADLINE).await?;
    let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    if output.status.success() {
        return match (verb, answer) {
            ("ADD", None) => {
                Err(Error::said(format!("CNI plugin {kind} answered ADD with no JSON"), output.stderr))
            }
            (_, answer) => Ok(answer),
        };
    }
    let answer = answer.unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let code = answer["code"].as_u64().map(|code| format!("CNI error code {code}"));
    let end = code.unwrap_or_else(|| output.status.to_string());
    let why = [text("msg"), text("details"), output.stderr].into_iter().filter(|part| !part.is_empty());
    let why: Vec<String> = why.map(|part| part.chars().take(TOLD).collect()).collect();
    Err(Error::said(
        format!("CNI plugin {kind} failed {verb} for pod {} ({end})", entry.request.id),
        if why.is_empty() { "it gave no reason; see its own log".to_owned() } else { why.join(": ") },
    ))
}

fn configuration(list: &Value, plugin: &Value, pod: &PodNetworkRequest, previous: Option<&Value>) -> Value {
    let mut config = plugin.clone();
    config["cniVersion"] = list["cniVersion"].clone();
    config["name"] = list["name"].clone();
    let ports: Vec<_> = pod.port_mappings.iter().filter(|port| port.host_port != 0).map(lower).collect();
    if plugin["capabilities"]["portMappings"] == json!(true) && !ports.is_empty() {
        config["runtimeConfig"] = json!({ "portMappings": ports });
    }
    if let Some(object) = config.as_object_mut() {
        object.remove("capabilities");
    }
    if let Some(previous) = previous {
        config["prevResult"] = previous.clone();
    }
    config
}

fn lower(port: &super::super::PortMapping) -> super::super::PortMapping {
    super::super::PortMapping { protocol: port.protocol.to_lowercase(), ..port.clone() }
}

fn arguments(pod: &PodNetworkRequest) -> String {
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        pod.namespace, pod.name, pod.id, pod.uid
    )
}
