//! A node for tests, demonstrations and measurements: a network namespace of its own with a registry and the daemon. The same
//! place can have containerd instead, as the peer; and a whole Kubernetes can stand on it, see [`Cluster`].
//!
//! ```text
//!  Node::start: namespace -> registry (images in its store) -> configuration -> infranetes serve -> socket answers
//!  drop:        daemon and registry end -> pod namespaces, QEMUs and the node's namespace go -> directory goes
//! ```
//!
//! Nothing of it touches the machine's own network. Everything it starts it ends, by id, on every path: also when a
//! test panics. What is left of pods after that would be a leak, and [`Inventory`] is how tests look for one.
//!
//! This is plain blocking code without a runtime, so that the two commands of the README can use it too.

mod cluster;
mod containerd;
pub mod critest;
mod daemon;
mod hidden;
pub mod interrupt;
mod inventory;
mod machine;
mod namespace;
mod node;
mod place;
mod process;
mod registry;
pub mod specs;
mod talk;

pub use cluster::{Cluster, Kubectl};
pub use containerd::Containerd;
pub use daemon::Daemon;
pub use hidden::Hidden;
pub use inventory::Inventory;
pub use machine::{Machine, Speaks};
pub use namespace::Namespace;
pub use node::{Delegated, Node, Options};
pub use place::Place;
pub use process::Process;
pub use registry::{LOGIN, Registry};
pub use talk::{Size, TAKE_TERMINAL, Talk};
