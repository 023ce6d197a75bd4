//! `infranetes fleet ls`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::client::Client;
use super::super::output::{self, Format};
use super::super::table::table;
use super::super::{Global, view};
use super::{Machine, Where};

pub(super) async fn run(global: &Global, place: &Where) -> anyhow::Result<ExitCode> {
    let machines = place.machines()?;
    let pods = pods(global).await;
    match global.output {
        Format::Json => output::json(&machines.iter().map(|machine| json(machine, &pods)).collect())?,
        Format::Text => output::bytes(text(&machines, &pods).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The pods by the containers that they have, as far as a daemon tells.
async fn pods(global: &Global) -> BTreeMap<String, String> {
    let Ok(client) = Client::connect(global).await else { return BTreeMap::new() };
    let (Ok(pods), Ok(containers)) = (client.pods().await, client.containers().await) else {
        return BTreeMap::new();
    };
    let names: BTreeMap<_, _> = pods
        .into_iter()
        .filter_map(|pod| {
            let about = pod.metadata?;
            Some((pod.id, format!("{}/{}", about.namespace, about.name)))
        })
        .collect();
    let of_pod = |container: proto::runtime::v1::Container| {
        Some((container.id, names.get(&container.pod_sandbox_id)?.clone()))
    };
    containers.into_iter().filter_map(of_pod).collect()
}

/// Who has a machine.
fn holder(machine: &Machine, pods: &BTreeMap<String, String>) -> Option<String> {
    let (id, _) = machine.held.as_ref()?;
    Some(pods.get(id.as_str()).cloned().unwrap_or_else(|| view::short(id.as_str()).to_owned()))
}

fn labels(machine: &Machine) -> String {
    let labels = machine.entry.labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

fn text(machines: &[Machine], pods: &BTreeMap<String, String>) -> String {
    let rows: Vec<_> = machines
        .iter()
        .map(|machine| {
            [
                format!("fleet/{}", machine.entry.name),
                machine.entry.address(),
                machine.entry.transport.word().to_owned(),
                machine.entry.os.word().to_owned(),
                machine.provider.clone(),
                holder(machine, pods)
                    .unwrap_or_else(|| if machine.owed { "to be given back" } else { "-" }.to_owned()),
                labels(machine),
            ]
        })
        .collect();
    table(["IMAGE", "ADDRESS", "TRANSPORT", "OS", "PROVIDER", "HELD BY", "LABELS"], &rows)
}

fn json(machine: &Machine, pods: &BTreeMap<String, String>) -> Value {
    json!({
        "name": machine.entry.name,
        "image": format!("fleet/{}", machine.entry.name),
        "address": machine.entry.address(),
        "transport": machine.entry.transport.word(),
        "os": machine.entry.os.word(),
        "provider": machine.provider,
        "labels": machine.entry.labels,
        "powerOff": machine.entry.power_off,
        "heldBy": holder(machine, pods),
        "toBeGivenBack": machine.held.is_none() && machine.owed,
    })
}
