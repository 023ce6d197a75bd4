//! `Exec`: where a command in the guest can be started and spoken with.

use std::time::Duration;

use proto::runtime::v1::{ExecRequest, ExecResponse};

use super::session::{begun, session};
use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::streaming::{Request, Wanted};

/// How long a guest that has answered before may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the call. The guest is asked for now, so that a person is told at once that it is still booting.
pub async fn exec(node: &Node, request: ExecRequest) -> Result<ExecResponse> {
    let ExecRequest { container_id, cmd, tty, stdin, stdout, stderr } = request;
    let wanted = Wanted { stdin, stdout, stderr, tty };
    wanted.check()?;
    if cmd.is_empty() {
        return Err(Error::invalid("the request's cmd is empty"));
    }
    let container = begun(&node.pods, &named(container_id, "container_id")?, Some(PATIENCE)).await?;
    session(&container, Some(PATIENCE)).await?;
    let container = container.record.id.clone();
    Ok(ExecResponse { url: node.streaming.url(Request::Exec { container, command: cmd, wanted })? })
}
