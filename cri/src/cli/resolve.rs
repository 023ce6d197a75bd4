//! What a person meant by an id: a whole id, a unique beginning of one, or a pod's name.
//!
//! A whole id or name wins over beginnings. What fits several pods is an error that names them all.

use anyhow::bail;
use proto::runtime::v1::{Container, PodSandbox};

use super::client::Client;
use super::view::{container_state, pod_state, short};

/// The most candidates that an error names.
const MOST_CANDIDATES: usize = 10;

/// A pod with the newest of its containers, which is its machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// The pod.
    pub(super) pod: PodSandbox,
    /// Its machine, if it got one yet.
    pub(super) container: Option<Container>,
}

impl Target {
    /// The pod as people call it.
    pub(super) fn name(&self) -> String {
        self.pod.metadata.as_ref().map_or_else(|| short(&self.pod.id).to_owned(), |known| known.name.clone())
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.as_ref().map_or("", |known| known.namespace.as_str())
    }

    /// The machine's state where there is a machine, otherwise the pod's.
    pub(super) fn state(&self) -> &'static str {
        match &self.container {
            Some(container) => container_state(container.state),
            None => pod_state(self.pod.state),
        }
    }

    /// The machine, or an error that says what is missing.
    pub(super) fn machine(&self) -> anyhow::Result<&Container> {
        match &self.container {
            Some(container) => Ok(container),
            None => bail!(
                "pod {} has no machine: none was created in it, or it was removed; see `infranetes inspect {}`",
                self.name(),
                short(&self.pod.id)
            ),
        }
    }
}

/// Every pod with its machine, the newest first.
pub(super) async fn targets(client: &Client) -> anyhow::Result<Vec<Target>> {
    let (pods, containers) = futures_util::future::try_join(client.pods(), client.containers()).await?;
    Ok(joined(pods, &containers))
}

/// The pod that is meant by `id`.
pub(super) async fn find(client: &Client, id: &str) -> anyhow::Result<Target> {
    let (pods, containers) = futures_util::future::try_join(client.pods(), client.containers()).await?;
    let found = pick(&pods, &containers, id)?.to_owned();
    let mut targets = joined(pods, &containers);
    targets.retain(|target| target.pod.id == found);
    match targets.pop() {
        Some(target) => Ok(target),
        None => bail!("there is no pod {id:?}"),
    }
}

fn joined(mut pods: Vec<PodSandbox>, containers: &[Container]) -> Vec<Target> {
    pods.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    pods.into_iter()
        .map(|pod| {
            let of_pod = containers.iter().filter(|container| container.pod_sandbox_id == pod.id);
            let container = of_pod.max_by_key(|container| container.created_at).cloned();
            Target { pod, container }
        })
        .collect()
}

/// The id of the pod that `asked` means.
fn pick<'a>(pods: &'a [PodSandbox], containers: &'a [Container], asked: &str) -> anyhow::Result<&'a str> {
    if asked.is_empty() {
        bail!("an empty id names no pod; `infranetes ps` lists the pods");
    }
    let of_container = |test: &dyn Fn(&str) -> bool| -> Vec<&'a str> {
        containers.iter().filter(|each| test(&each.id)).map(|each| each.pod_sandbox_id.as_str()).collect()
    };
    let whole = |id: &str| id == asked;
    let beginning = |id: &str| id.starts_with(asked);
    let mut exact: Vec<&str> =
        pods.iter().filter(|pod| whole(&pod.id) || named(pod, asked)).map(|pod| pod.id.as_str()).collect();
    exact.extend(of_container(&whole));
    let mut found = exact;
    if found.is_empty() {
        found = pods.iter().map(|pod| pod.id.as_str()).filter(|id| beginning(id)).collect();
        found.extend(of_container(&beginning));
    }
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [] => bail!("there is no pod {asked:?}; `infranetes ps -a` lists them all"),
        [one] => Ok(one),
        several => bail!(
            "{asked:?} fits {} pods: {}; write more of the id",
            several.len(),
            candidates(pods, several)
        ),
    }
}

/// Whether `asked` is the pod's name, bare or after its namespace.
fn named(pod: &PodSandbox, asked: &str) -> bool {
    pod.metadata.as_ref().is_some_and(|known| match asked.split_once('/') {
        Some((namespace, name)) => known.namespace == namespace && known.name == name,
        None => known.name == asked,
    })
}

fn candidates(pods: &[PodSandbox], ids: &[&str]) -> String {
    let mut told: Vec<String> = pods
        .iter()
        .filter(|pod| ids.contains(&pod.id.as_str()))
        .take(MOST_CANDIDATES)
        .map(|pod| {
            let name =
                pod.metadata.as_ref().map_or_else(String::new, |m| format!("{}/{}", m.namespace, m.name));
            format!("{} ({name}, {})", short(&pod.id), pod_state(pod.state))
        })
        .collect();
    if ids.len() > told.len() {
        told.push("…".to_owned());
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::PodSandboxMetadata;

    fn pod(id: &str, namespace: &str, name: &str) -> PodSandbox {
        let metadata =
            PodSandboxMetadata { name: name.into(), namespace: namespace.into(), ..Default::default() };
        PodSandbox { id: id.into(), metadata: Some(metadata), ..Default::default() }
    }

    fn container(id: &str, pod: &str, created_at: i64) -> Container {
        Container { id: id.into(), pod_sandbox_id: pod.into(), created_at, ..Default::default() }
    }

    fn pods() -> Vec<PodSandbox> {
        vec![pod("aa11", "default", "app"), pod("aa22", "test", "app"), pod("bb", "default", "aa11x")]
    }

    #[test]
    fn whole_ids_names_and_beginnings_are_found() {
        let containers = [container("cc33", "bb", 1)];
        for (asked, id) in [
            ("aa11", "aa11"),
            ("aa2", "aa22"),
            ("b", "bb"),
            ("test/app", "aa22"),
            ("aa11x", "bb"),
            ("cc", "bb"),
        ] {
            assert_eq!(pick(&pods(), &containers, asked).unwrap(), id, "{asked}");
        }
    }

    #[test]
    fn several_are_named() {
        let error = pick(&pods(), &[], "app").unwrap_err().to_string();
        assert!(error.contains("aa11 (default/app, ready)") && error.contains("aa22 (test/app"), "{error}");
        assert!(pick(&pods(), &[], "aa").unwrap_err().to_string().contains("fits 2 pods"));
    }

    #[test]
    fn none_names_the_remedy() {
        assert!(pick(&pods(), &[], "zz").unwrap_err().to_string().contains("ps -a"));
        assert!(pick(&pods(), &[], "").is_err());
    }

    #[test]
    fn the_newest_container_is_the_machine() {
        let containers = [container("old", "bb", 1), container("new", "bb", 2)];
        let targets = joined(pods(), &containers);
        let target = targets.iter().find(|target| target.pod.id == "bb").unwrap();
        assert_eq!(target.machine().unwrap().id, "new");
        assert!(targets[0].machine().unwrap_err().to_string().contains("has no machine"));
    }
}
