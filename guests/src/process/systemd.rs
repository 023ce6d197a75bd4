//! Guests that systemd runs: each process is a transient unit, `infranetes-ID.service`, so that nothing of systemd's
//! (a session that ends and takes its processes along, a shutdown that waits for nobody) comes between.
//!
//! The unit's control group is delegated: the supervisor has one part of it, the program another with the limits.

use std::sync::Arc;

use async_trait::async_trait;
use transports::Session;

use super::{Guest, Limits, Offset, OutputStream, ProcessId, ProcessSpec, ProcessState, control, stream};
use crate::{Family, Result};

/// A guest that systemd runs.
#[derive(Debug, Clone, Copy)]
pub struct Systemd {
    /// What `systemctl --version` says: older ones lack some properties of units.
    version: u32,
}

impl Systemd {
    /// A guest with this version of systemd.
    pub fn new(version: u32) -> Self {
        Self { version }
    }
}

#[async_trait]
impl Guest for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    async fn start(&self, session: &dyn Session, spec: &ProcessSpec) -> Result<ProcessState> {
        control::start(session, spec, &format!("systemd {}", self.version)).await
    }

    async fn state(&self, session: &dyn Session, id: &ProcessId) -> Result<ProcessState> {
        control::state(session, id).await
    }

    async fn follow(
        &self,
        session: Arc<dyn Session>,
        id: &ProcessId,
        from: Option<Offset>,
    ) -> Result<OutputStream> {
        stream::follow(session, Family::Unix, id, from).await
    }

    async fn signal(&self, session: &dyn Session, id: &ProcessId, signal: &str) -> Result<()> {
        control::signal(session, id, signal).await
    }

    async fn limit(&self, session: &dyn Session, id: &ProcessId, limits: &Limits) -> Result<()> {
        control::limit(session, id, limits).await
    }

    async fn remove(&self, session: &dyn Session, id: &ProcessId) -> Result<()> {
        control::remove(session, id).await
    }
}
