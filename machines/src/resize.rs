//! What a running machine may use of what it was booted with.

use async_trait::async_trait;

use crate::{MachineId, Result};

/// A share of a machine's processors and memory. What is absent is all that it was booted with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Thousandths of a processor.
    pub milli_cpus: Option<u64>,
    /// Memory in bytes; a part of a MiB does not count.
    pub memory_bytes: Option<u64>,
}

/// Changes what running machines may use. A provider that cannot has no such thing
/// ([`Provider::resizing`](crate::Provider::resizing)).
#[async_trait]
pub trait Resize: Send + Sync {
    /// Lets a running machine use this share from now on, also after a restart of the daemon; its next run has all of it
    /// again. It takes half a minute at most.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for what the machine cannot have while it runs; nothing has changed then,
    /// but for a bound of the processors that came before a refusal of memory.
    async fn resize(&self, id: &MachineId, share: Share) -> Result<()>;
}
