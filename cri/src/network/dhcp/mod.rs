//! Answers a guest that only knows DHCP: it is told exactly what CNI gave its pod, for ever.
//!
//! ```text
//!  DISCOVER -> OFFER, REQUEST -> ACK (its own address) or NAK (any other), INFORM -> ACK without a lease
//! ```
//!
//! One filter on the tap lets UDP port 67 through to the stack of the pod's namespace, so an ordinary UDP socket there
//! does; it is made by a thread that visits the namespace for that one call. The answerer runs until its
//! [`DhcpGuard`] is dropped; a guest that asks while no daemon runs asks again.
//!
//! Failure paths: what is not a well-formed request from the machine's own card is ignored. A reply that cannot be sent
//! is forgotten: the guest asks again.

mod packet;
mod server;

use super::error::Result;
use super::{Attachment, GuestIdentity};

/// Keeps an answerer running; dropping it ends it.
#[derive(Debug)]
pub struct DhcpGuard {
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for DhcpGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts the answerer of a pod. A pod without a real network, or without an IPv4 address, has nothing to be told.
pub(super) async fn serve(attachment: &Attachment, identity: &GuestIdentity) -> Result<DhcpGuard> {
    let Some(lease) = packet::Lease::new(attachment, identity).filter(|_| attachment.has_tap()) else {
        return Ok(DhcpGuard { task: None });
    };
    let socket = server::socket(attachment).await?;
    let task = tokio::spawn(server::answer(socket, lease));
    Ok(DhcpGuard { task: Some(task) })
}
