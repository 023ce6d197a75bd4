//! critest's own benchmark: what calls of the CRI take on a runtime.
//!
//! ```text
//!   counts -> parameters -> ginkgo runs critest's benchmark -> a file for each kind of thing -> samples of each call
//! ```
//!
//! Happy path: pods that have no container, containers in a pod each, pulls of one image and lists of images, one after the
//! other. Failure paths: a call that fails ends the benchmark, and what it wrote is shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{Critest, MEASUREMENTS, assigned, run};
use crate::place::Place;

/// How long all of it may take together.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How long critest waits for one turn with a thing, in seconds.
const TURN: u64 = 300;
/// The image that critest makes containers from, which is also the one that is pulled and listed.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
/// The files of results; the names there, and those of the CRI's calls.
const FILES: [(&str, &[(&str, &str)]); 4] = [
    (
        "pod",
        &[
            ("CreatePod", "RunPodSandbox"),
            ("StatusPod", "PodSandboxStatus"),
            ("StopPod", "StopPodSandbox"),
            ("RemovePod", "RemovePodSandbox"),
        ],
    ),
    (
        "container",
        &[
            ("CreateContainer", "CreateContainer"),
            ("StartContainer", "StartContainer"),
            ("StatusContainer", "ContainerStatus"),
            ("StopContainer", "StopContainer"),
            ("RemoveContainer", "RemoveContainer"),
        ],
    ),
    (
        "image_lifecycle",
        &[("PullImage", "PullImage"), ("StatusImage", "ImageStatus"), ("RemoveImage", "RemoveImage")],
    ),
    ("image_listing", &[("ListImages", "ListImages")]),
];

/// How often it is done.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Containers, in a pod each.
    pub containers: usize,
    /// Pods without a container.
    pub pods: usize,
    /// Pulls of an image, and lists of images.
    pub images: usize,
}

/// A call of the CRI.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// What each one took, in milliseconds.
    pub milliseconds: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    operations_names: Vec<String>,
    datapoints: Vec<Datapoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datapoint {
    operations_durations_ns: Vec<u64>,
}

impl Critest {
    /// Measures the runtime of a place.
    pub fn benchmark(&self, place: &Place, counts: Counts) -> Result<Vec<Call>> {
        let folder = place.dir().join("benchmark");
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let parameters = folder.join("parameters.yaml");
        // What is JSON is YAML too.
        let text = serde_json::json!({
            "containersNumber": counts.containers,
            "podsNumber": counts.pods,
            "imagesNumber": counts.images,
            "containerBenchmarkTimeoutSeconds": TURN,
            "podBenchmarkTimeoutSeconds": TURN,
            "imageBenchmarkTimeoutSeconds": TURN,
            "podContainerStartBenchmarkTimeoutSeconds": TURN,
            "imagePullingBenchmarkImage": IMAGE,
            "imageListingBenchmarkImages": [IMAGE],
        });
        std::fs::write(&parameters, text.to_string())
            .with_context(|| format!("cannot write {}", parameters.display()))?;
        let mut command = self.ginkgo(place, PATIENCE);
        command.arg(format!("--focus={MEASUREMENTS}"));
        self.critest(&mut command, place, &folder);
        command.arg("-benchmark");
        command.arg(assigned("-benchmarking-params-file=", &parameters));
        command.arg(assigned("-benchmarking-output-dir=", &folder));
        let (status, printed) = run(command, &folder, PATIENCE)?;
        ensure!(status.success(), "critest's benchmark failed; it printed:\n{printed}");
        let mut calls = Vec::new();
        for (thing, names) in FILES {
            calls.extend(read(&folder.join(format!("{thing}_benchmark_data.json")), names)?);
        }
        Ok(calls)
    }
}

/// The calls of a file of results.
fn read(path: &Path, names: &[(&str, &'static str)]) -> Result<Vec<Call>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("there is no result {}", path.display()))?;
    parse(&text, names).with_context(|| format!("{} cannot be read", path.display()))
}

fn parse(text: &str, names: &[(&str, &'static str)]) -> Result<Vec<Call>> {
    let results: Results = serde_json::from_str(text)?;
    let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for point in &results.datapoints {
        ensure!(
            point.operations_durations_ns.len() == results.operations_names.len(),
            "a turn has {} times for {} calls",
            point.operations_durations_ns.len(),
            results.operations_names.len()
        );
        for (name, nanoseconds) in results.operations_names.iter().zip(&point.operations_durations_ns) {
            let time = Duration::from_nanos(*nanoseconds);
            samples.entry(name).or_default().push(time.as_secs_f64() * 1000.0);
        }
    }
    let mut calls = Vec::new();
    for (theirs, name) in names {
        let Some(milliseconds) = samples.remove(theirs) else { bail!("it has no {theirs}") };
        calls.push(Call { name, milliseconds });
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"operationsNames": ["PullImage", "StatusImage", "RemoveImage"], "numParallel": 1, "datapoints": [
        {"sampleIndex": 0, "operationsDurationsNs": [2000000, 500000, 1000000], "metaInfo": null},
        {"sampleIndex": 1, "operationsDurationsNs": [4000000, 500000, 3000000], "metaInfo": {"imageId": "x"}}]}"#;

    #[test]
    fn each_call_has_its_samples_under_its_name() {
        let calls = parse(TEXT, FILES[2].1).unwrap();
        let named: Vec<_> = calls.iter().map(|call| (call.name, call.milliseconds.clone())).collect();
        assert_eq!(
            named,
            [("PullImage", vec![2.0, 4.0]), ("ImageStatus", vec![0.5, 0.5]), ("RemoveImage", vec![1.0, 3.0])]
        );
    }

    #[test]
    fn a_call_without_a_sample_is_no_result() {
        assert!(parse(TEXT, FILES[0].1).is_err());
        let short = TEXT.replace(", 1000000]", "]");
        assert!(parse(&short, FILES[2].1).is_err());
    }
}
