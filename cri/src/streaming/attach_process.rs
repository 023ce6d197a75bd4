//! The standard input and output of a container's process, joined while it runs.
//!
//! ```text
//!   follow from now --output--> client --typed--> a command in the guest that writes into the process's input
//! ```
//!
//! Happy path: several clients may join; each sees what is printed from then on, until the process ends. A client that
//! leaves is no news to the process, but for one whose input was to be read once: that input ends with him.
//!
//! Failure paths: a process without standard input gets nothing of what is typed. A client that does not read slows down
//! his own follower, and neither the process nor its log. A lost session ends the joining with an error.

use std::sync::Arc;
use std::time::Duration;

use guests::Family;
use guests::process::{self, Event, Offset, OutputStream, ProcessId};
use tokio::sync::watch;
use tokio::time::timeout;
use transports::{Bounds, Command, Process, Session, Size, Stream};

use super::channel::{Input, Output};
use super::remote_command::{Io, resize, show};
use super::status::End;
use crate::container::session;
use crate::error::{Error, Result};
use crate::pod::{ContainerView, process_id};
use crate::store::{ProcessRecord, ProcessStdin};

/// How long a guest may be silent before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Joins the process until it ends. What the client leaves behind is ended also where this is dropped.
pub(super) async fn run(container: &ContainerView, record: &ProcessRecord, io: &mut Io) -> Result<End> {
    let session = session(container, Some(PATIENCE)).await?;
    let (id, family) = (process_id(&container.record.id)?, container.family());
    let silent = |_| Error::TimedOut(format!("the guest was silent for {} s", PATIENCE.as_secs()));
    let opening = async {
        let guest = container.guest(session.as_ref()).await?;
        guest.follow(session.clone(), &id, Some(Offset::now())).await
    };
    let output = timeout(PATIENCE, opening).await.map_err(silent)??;
    let Io { stdin, stdout, stderr, resize: sizes } = io;
    let writer = match stdin {
        Some(_) if record.stdin != ProcessStdin::Closed => {
            Some(session.stream(process::stdin(family, &id)?).await?)
        }
        _ => None,
    };
    let once = (writer.is_some() && record.stdin == ProcessStdin::Once)
        .then(|| EndInput(session.clone(), family, id.clone()));
    let (size, seen) = watch::channel(Size::default());
    tokio::select! {
        end = follow(output, stdout.as_ref(), stderr.as_ref()) => end,
        () = write(stdin, writer, once) => Err(Error::Unavailable("the input has ended".into())),
        () = resize(sizes, Some(&size)) => Err(Error::Unavailable("the terminal has ended".into())),
        () = tell_size(session.as_ref(), family, &id, seen) => Err(Error::Unavailable("the terminal has ended".into())),
    }
}

/// Hands what the client types to the process; where that is its whole input, the end too. Never returns.
async fn write(typed: &mut Option<Input>, writer: Option<Process>, once: Option<EndInput>) {
    if let (Some(typed), Some(mut writer)) = (typed, writer) {
        let to = writer.stdin.take();
        while let (Some(bytes), Some(to)) = (typed.next().await, &to) {
            if to.send(bytes).await.is_err() {
                break;
            }
        }
        drop(to);
        // All of it is in the process's input before that ends.
        let _ = (&mut writer.exit).await;
        drop(once);
    }
    std::future::pending::<()>().await;
}

/// Shows what is printed until the process ends.
async fn follow(mut output: OutputStream, stdout: Option<&Output>, stderr: Option<&Output>) -> Result<End> {
    loop {
        match output.next().await {
            Some(Ok(Event::Output { stream, data, .. })) => {
                let to = if stream == Stream::Stdout { stdout } else { stderr };
                if show(to, data).await.is_err() {
                    // Who is gone is noticed by the caller.
                    std::future::pending::<()>().await;
                }
            }
            Some(Ok(Event::Exited(_))) => return Ok(End::Code(0)),
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Error::Unavailable("the session was closed".into())),
        }
    }
}

/// Tells the process's terminal each new size. Never returns.
async fn tell_size(session: &dyn Session, family: Family, id: &ProcessId, mut sizes: watch::Receiver<Size>) {
    while sizes.changed().await.is_ok() {
        let Size { columns, rows } = *sizes.borrow_and_update();
        quietly(session, process::resize(family, id, columns, rows)).await;
    }
    std::future::pending::<()>().await;
}

/// Runs a short command whose outcome is of no consequence.
async fn quietly(session: &dyn Session, command: guests::Result<Command>) {
    let Ok(command) = command else { return };
    let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 0 };
    if let Err(error) = transports::capture(session, command, bounds).await {
        tracing::debug!(%error, "the guest did not take it");
    }
}

/// Ends the input of a process when the one who was to write it is gone.
struct EndInput(Arc<dyn Session>, Family, ProcessId);

impl Drop for EndInput {
    fn drop(&mut self) {
        let (session, family, id) = (self.0.clone(), self.1, self.2.clone());
        // Without a runtime the whole daemon is ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { quietly(session.as_ref(), process::end_stdin(family, &id)).await });
        }
    }
}
