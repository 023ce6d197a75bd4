//! The way into a container's guest, as far as a caller's patience reaches.
//!
//! Before the guest's first answer a call with a timeout fails at once with `Unavailable`, which the kubelet does not
//! count against a probe. After it, a guest that is silent for the whole timeout costs `DeadlineExceeded`, which it does
//! count. A call without a timeout (a hook) waits for the boot instead.

use std::sync::Arc;
use std::time::Duration;

use transports::{Command, Link, Session, Stdin};

use crate::error::{Error, Result};
use crate::pod::{ContainerView, Pods, process_id};

/// How long a guest that has answered before may be silent when the caller sets no timeout.
const SILENCE: Duration = Duration::from_secs(120);

/// A session to the container's guest, as far as the caller's patience reaches.
pub(crate) async fn session(
    container: &ContainerView,
    timeout: Option<Duration>,
) -> Result<Arc<dyn Session>> {
    let record = &container.record;
    let Some(link) = container.link.as_ref().filter(|_| container.is_live()) else {
        return Err(Error::Conflict(format!(
            "container {} does not run ({:?}), so nothing can be run in it",
            record.id, record.phase
        )));
    };
    match (link.session(), container.answered, timeout) {
        (Ok(session), ..) => Ok(session),
        (Err(error), false, Some(_)) => Err(Error::Unavailable(format!("guest is booting ({error})"))),
        (Err(error), true, Some(_)) if container.is_rebooting() => {
            Err(Error::Unavailable(format!("guest is rebooting ({error})")))
        }
        (Err(_), false, None) => wait(link, container.boot_time_left(), "has not booted").await,
        (Err(_), true, timeout) => wait(link, timeout.unwrap_or(SILENCE), "is still silent").await,
    }
}

/// The container, once a command in it finds it there: after a slow boot its process is only then being started. The
/// caller's patience is spent as in [`session`].
pub(crate) async fn begun(pods: &Pods, id: &str, timeout: Option<Duration>) -> Result<Arc<ContainerView>> {
    let (_, booting) = pods.container(id)?;
    let patience = timeout.unwrap_or_else(|| booting.boot_time_left() + SILENCE);
    let container = pods.container_begun(id, patience).await?;
    if container.is_begun() || !container.is_live() {
        return Ok(container);
    }
    Err(Error::Unavailable(format!(
        "the process of container {} has not been started yet",
        container.record.id
    )))
}

/// What runs in the container: in a machine as the user that we log in as, beside a process as that process runs.
pub(crate) fn inside(container: &ContainerView, argv: Vec<String>, stdin: Stdin) -> Result<Command> {
    match container.record.process() {
        None => Ok(Command { argv, stdin }),
        Some(_) => Ok(guests::process::inside(&process_id(&container.record.id)?, &argv, stdin)),
    }
}

async fn wait(link: &Link, patience: Duration, what: &str) -> Result<Arc<dyn Session>> {
    let seen = link.ready(tokio::time::Instant::now() + patience).await;
    seen.map_err(|error| match error {
        transports::Error::Unreachable(seen) | transports::Error::WrongIdentity(seen) => {
            Error::TimedOut(format!("the guest {what} after {} s; last seen: {seen}", patience.as_secs()))
        }
        other => other.into(),
    })
}
