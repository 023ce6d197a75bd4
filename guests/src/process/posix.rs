//! Any guest with a POSIX shell and Linux's `/proc`: the supervisor is detached by `setsid`.

use std::sync::Arc;

use async_trait::async_trait;
use transports::Session;

use super::{Guest, Limits, Offset, OutputStream, ProcessId, ProcessSpec, ProcessState, control, stream};
use crate::{Family, Result};

/// A plain POSIX guest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Posix;

#[async_trait]
impl Guest for Posix {
    fn name(&self) -> &'static str {
        "posix"
    }

    async fn start(&self, session: &dyn Session, spec: &ProcessSpec) -> Result<ProcessState> {
        control::start(session, spec, self.name()).await
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
