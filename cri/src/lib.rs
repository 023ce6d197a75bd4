//! The daemon `infranetes`: Kubernetes' Container Runtime Interface, served by virtual machines.
//!
//! ```text
//!  kubelet -> service -> sandbox | container | image -> pod -> store, network, logs
//!                                                          -> images, machines, transports, guests
//! ```

pub mod cli;
pub mod config;
pub mod container;
pub mod convert;
pub mod daemon;
pub mod delegate;
pub mod error;
pub mod fault;
pub mod fleet;
pub mod image;
pub mod logs;
pub mod network;
pub mod node;
pub mod pod;
mod ready;
pub mod runtime;
pub mod sandbox;
#[cfg(test)]
#[path = "../../transports/tests/servers/mod.rs"]
mod servers;
pub mod service;
pub mod stats;
pub mod store;
pub mod streaming;
pub mod telemetry;
pub mod volume;
