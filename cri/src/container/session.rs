//! The way into a container's guest, as far as a caller's patience reaches.
//!
//! Before the guest's first answer a call with a timeout fails at once with `Unavailable`, which the kubelet does not
//! count against a probe. After it, a guest that is silent for the whole timeout costs `DeadlineExceeded`, which it does
//! count. A call without a timeout (a hook) waits for the boot instead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
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
    let way = container.link.as_ref().zip(container.sessions.clone()).filter(|_| container.is_live());
    let Some((link, sessions)) = way else {
        return Err(Error::Conflict(format!(
            "container {} does not run ({:?}), so nothing can be run in it",
            record.id, record.phase
        )));
    };
    let ready = sessions.borrow().clone();
    match (ready, container.answered, timeout) {
        (Some(session), ..) => Ok(session),
        (None, false, Some(_)) => Err(Error::Unavailable(format!("guest is booting ({})", seen(link)))),
        (None, true, Some(_)) if container.is_rebooting() => {
            Err(Error::Unavailable(format!("guest is rebooting ({})", seen(link))))
        }
        (None, false, None) => wait(link, sessions, container.boot_time_left(), "has not booted").await,
        (None, true, timeout) => wait(link, sessions, timeout.unwrap_or(SILENCE), "is still silent").await,
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
    if container.record.is_machine() {
        return Ok(Command { argv, stdin });
    }
    let id = process_id(&container.record.id)?;
    Ok(guests::process::inside(container.family(), &id, &argv, stdin)?)
}

/// Waits for a guest that has what its pod asks for: a command before that would not find its files.
async fn wait(
    link: &Link,
    mut sessions: watch::Receiver<Option<Arc<dyn Session>>>,
    patience: Duration,
    what: &str,
) -> Result<Arc<dyn Session>> {
    match tokio::time::timeout(patience, sessions.wait_for(Option::is_some)).await {
        Ok(Ok(session)) => session.clone().ok_or_else(|| Error::Unavailable("guest is rebooting".to_owned())),
        Ok(Err(_)) => Err(Error::Conflict("the machine has ended meanwhile".to_owned())),
        Err(_) => Err(Error::TimedOut(format!(
            "the guest {what} after {} s; last seen: {}",
            patience.as_secs(),
            seen(link)
        ))),
    }
}

/// What was seen of a guest that is not there yet.
fn seen(link: &Link) -> String {
    match link.session() {
        Ok(_) => "it is given what its pod asks for".to_owned(),
        Err(error) => error.to_string(),
    }
}
