//! Asking a guest to shut itself down in good order.
//!
//! Happy path: systemd is asked to power off and answers at once; without systemd `shutdown`, `poweroff` or busybox is,
//! in this order. Windows has `shutdown.exe`. A connection that is lost right after the request is the guest obeying it.
//!
//! Failure paths: a guest that has none of these, or whose user may not, is an error with what the guest said: the
//! caller goes on with the power button.

use std::time::Duration;

use tokio::time::timeout;
use transports::{Command, Exit, Session, Stdin, Stream};

use crate::script::Guard;
use crate::{Error, Family, Result, script};

/// How long the guest may take to accept the request. Obeying it takes longer.
const ACCEPT: Duration = Duration::from_secs(30);
/// How much of what the guest says is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;

/// Tries the ways in order of grace. An `init` that is not systemd ignores the first.
const SCRIPT: &str = r"PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
export PATH
if [ -d /run/systemd/system ] && systemctl poweroff --no-block; then exit 0; fi
if command -v shutdown >/dev/null 2>&1; then
  # It stays until the end on some systems, and returns at once on others.
  shutdown -h -P now || shutdown -h now || shutdown -p now || poweroff
elif command -v poweroff >/dev/null 2>&1; then
  poweroff
else
  busybox poweroff
fi
";

/// Asks the guest to power itself off. Returns when it has accepted, which is long before it is off.
pub async fn shut_down(session: &dyn Session, family: Family) -> Result<()> {
    match family {
        Family::Unix => ask(session, script::privileged(SCRIPT, &[], Stdin::Closed), LINUX_REMEDY).await,
        Family::Windows => windows(session).await,
    }
}

/// [`shut_down`], where the guard lets that be done.
pub(crate) async fn shut_down_if(session: &dyn Session, guard: Guard<'_>) -> Result<()> {
    ask(session, guard.privileged(SCRIPT, &[], Stdin::Closed), LINUX_REMEDY).await
}

/// What to do where the user may not.
const LINUX_REMEDY: &str = "its user needs root's rights or sudo without a password";

/// The exit code of Windows' own program where the shutdown has begun already.
const BEGUN: i32 = 1115;

/// Programs that do not end by themselves are ended; the message of a shutdown within the hour would be shown otherwise.
async fn windows(session: &dyn Session) -> Result<()> {
    let argv = ["shutdown.exe", "/s", "/f", "/t", "0"].map(str::to_owned).to_vec();
    ask(session, Command { argv, stdin: Stdin::Closed }, "log in as an administrator").await
}

async fn ask(session: &dyn Session, command: Command, remedy: &str) -> Result<()> {
    let mut process = session.exec(command).await?;
    let mut said = Vec::new();
    let exit = timeout(ACCEPT, async {
        while let Some(output) = process.output.recv().await {
            if output.stream == Stream::Stderr {
                let room = COMPLAINT_LIMIT - said.len();
                said.extend_from_slice(&output.data[..output.data.len().min(room)]);
            }
        }
        process.exit.await
    })
    .await;
    let said = String::from_utf8_lossy(&said).trim().replace(|c: char| c.is_control(), " ");
    match exit {
        Ok(Ok(Exit::Code(0 | BEGUN) | Exit::Lost(_)) | Err(_)) => Ok(()),
        // The program that asks is itself ended by what it asked for.
        Ok(Ok(Exit::Signal(signal))) if signal == "TERM" || signal == "HUP" || signal == "KILL" => Ok(()),
        Ok(Ok(Exit::Signal(signal))) => {
            Err(Error::Ended(format!("shutting down was ended by signal {signal}")))
        }
        Ok(Ok(Exit::Code(code))) => {
            Err(Error::Ended(format!("the guest refused to shut down (code {code}): {said}; {remedy}")))
        }
        Err(_) => Err(Error::Session(transports::Error::TimedOut(ACCEPT))),
    }
}
