//! Whether everything on the node belongs to a pod that the daemon knows.

use proto::runtime::v1 as cri;
use tests::Inventory;

use crate::client::Client;

/// What the daemon knows.
pub(crate) struct Known {
    pods: Vec<String>,
    containers: Vec<String>,
}

impl Known {
    /// Asks the daemon.
    pub(crate) async fn ask(client: &mut Client) -> Self {
        let pods = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await.unwrap();
        let containers = client.runtime.list_containers(cri::ListContainersRequest::default()).await.unwrap();
        Self {
            pods: pods.into_inner().items.into_iter().map(|pod| pod.id).collect(),
            containers: containers.into_inner().containers.into_iter().map(|found| found.id).collect(),
        }
    }

    /// What is on the node beyond what belongs to a known pod.
    pub(crate) fn strays(&self, found: &Inventory) -> Vec<String> {
        // A machine and an interface name no pod: there is at most one for each.
        let (mut machines, mut interfaces) = (self.containers.len(), self.pods.len());
        let mut strays = Vec::new();
        for line in &found.0 {
            let left = match line.split_once(' ') {
                Some(("process", _)) => Some(&mut machines),
                Some(("interface", _)) => Some(&mut interfaces),
                _ => None,
            };
            let owned = match left {
                Some(left) => std::mem::replace(left, left.saturating_sub(1)) > 0,
                None => self.names(line) || self.is_named_in(line),
            };
            if !owned {
                strays.push(line.clone());
            }
        }
        strays
    }

    fn ids(&self) -> impl Iterator<Item = &String> {
        self.pods.iter().chain(&self.containers)
    }

    fn names(&self, line: &str) -> bool {
        self.ids().any(|id| line.contains(id.as_str()))
    }

    /// Whether the content of a file names a known pod, as the record of an address does.
    fn is_named_in(&self, line: &str) -> bool {
        let content = line.strip_prefix("file ").and_then(|path| std::fs::read(path).ok());
        content.is_some_and(|content| self.names(&String::from_utf8_lossy(&content)))
    }
}

/// The emulators on the node, each with its process id.
pub(crate) fn machines(found: &Inventory) -> Vec<String> {
    found.0.iter().filter(|line| line.starts_with("process ")).cloned().collect()
}
