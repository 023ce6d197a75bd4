//! A guest that is somebody's already, lent to a pod: what the pod needs is laid over it, and taken away again.
//!
//! ```text
//!   free --lend: a note of the holder, names laid over--> lent --give_back: processes, volumes, names, the note--> free
//!                                                          |  a reboot: all of it is gone by itself
//! ```
//!
//! Nothing is written to the guest's disk: the note and the files of names lie in its memory, `/etc/resolv.conf` is mounted over,
//! and the host name is the kernel's alone. Processes and volumes are those of [`crate::process`] and [`crate::volume`].
//!
//! - Happy path: [`lend`] may be repeated by its holder, after each boot and by the next daemon. [`give_back`] may be repeated too.
//! - Windows has no such memory: see `windows`.
//! - The guest is lent to somebody else: [`Lent::Another`] tells to whom, and nothing was done. [`take`] knows what to do where the
//!   same node keeps the books of both; of another node, only that one can know whether it still holds.
//! - Names cannot be set: that is told, and the guest is lent all the same; the caller judges.
//! - Something cannot be taken away: the rest is, the names among that, and the first failure is told. The note stays then.
//! - It is lent to somebody else while it is given back: each script looks first, and the rest is left alone.

mod windows;

use std::time::Duration;

use transports::{Bounds, Exit, Session, Stdin, capture};

use crate::names::Names;
use crate::script::{Guard, ROOT};
use crate::{Error, Family, Result, process, script, shutdown, volume};

/// How long a script may take.
const DEADLINE: Duration = Duration::from_secs(40);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 1024;

const PLACE: &str = include_str!("sh/place.sh");
const CLAIM: &str = include_str!("sh/claim.sh");
const GUARD: &str = include_str!("sh/guard.sh");
const NAMES: &str = concat!(include_str!("sh/laid.sh"), include_str!("sh/names.sh"));
const GIVE_BACK: &str = concat!(include_str!("sh/laid.sh"), include_str!("sh/give_back.sh"));

/// To whom a guest is lent: one line of text, the same for as long as that lasts. Its first word says who keeps the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// Checks that it is one short line.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > 300 || text.chars().any(char::is_control) {
            return Err(Error::Unsupported(format!("{text:?} names no holder of a guest")));
        }
        Ok(Self(text))
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lent {
    /// It is done.
    Done,
    /// The guest is lent to somebody else.
    Another(String),
}

/// Lends a guest, or tells to whom it is lent.
pub async fn lend(session: &dyn Session, family: Family, holder: &Holder) -> Result<Lent> {
    match family {
        Family::Unix => run(session, CLAIM, &[&holder.0]).await,
        Family::Windows => windows::lend(session, holder).await,
    }
}

/// Has the guest be lent to this holder. What another by the same first word has left in it is taken away first, but where it is
/// `held` by that one still. Lent to anybody else, it is refused.
pub async fn take(
    session: &dyn Session,
    family: Family,
    holder: &Holder,
    held: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<()> {
    let owner = |holder: &str| holder.split(' ').next().unwrap_or_default().to_owned();
    for _ in 0..2 {
        let other = match lend(session, family, holder).await? {
            Lent::Done => return Ok(()),
            Lent::Another(other) => other,
        };
        if owner(&other) != owner(&holder.0) {
            let remedy = match family {
                Family::Unix => "reboot the machine, or remove /run/infranetes-lent.holder in it",
                Family::Windows => r"remove %SystemRoot%\Infranetes\lent in it",
            };
            return Err(Error::Unsupported(format!(
                "the machine is in use by another node ({other}); it can be adopted when that has released it. If that node is \
                 gone for good, {remedy}"
            )));
        }
        if held(&other) {
            return Err(Error::Unsupported(format!(
                "the machine is in use by another pod of this node ({other}), which knows it by another address; keep one of the \
                 two entries in the inventory"
            )));
        }
        give_back(session, family, &Holder::new(other)?).await?;
    }
    Err(Error::Ended("the machine is lent again and again to another holder of this node".into()))
}

/// Lays names over a guest that is lent to this holder.
pub async fn set_names(
    session: &dyn Session,
    family: Family,
    holder: &Holder,
    names: &Names,
) -> Result<Lent> {
    match family {
        Family::Unix => {
            let resolver = names.resolver_text()?;
            run(session, &format!("{CLAIM}{NAMES}"), &[&holder.0, &names.hostname, &resolver]).await
        }
        Family::Windows => windows::set_names(session, holder, names).await,
    }
}

/// Takes away whatever was put into a guest that is lent to this holder, or to nobody.
pub async fn give_back(session: &dyn Session, family: Family, holder: &Holder) -> Result<Lent> {
    match family {
        Family::Unix => give_back_linux(session, holder).await,
        Family::Windows => windows::give_back(session, holder).await,
    }
}

async fn give_back_linux(session: &dyn Session, holder: &Holder) -> Result<Lent> {
    if let Lent::Another(other) = run(session, CLAIM, &[&holder.0]).await? {
        return Ok(Lent::Another(other));
    }
    let guard = guard(&holder.0);
    // Processes first: they may use the volumes.
    let ended = process::remove_all(session, guard).await;
    let cleared = volume::clear(session, guard).await;
    let taken = ended.and(cleared);
    let keep = if taken.is_err() { "keep" } else { "" };
    match run(session, GIVE_BACK, &[&holder.0, keep]).await {
        Ok(Lent::Another(other)) => Ok(Lent::Another(other)),
        named => taken.and(named),
    }
}

/// Has a guest that was given back power itself off, but where it is lent again by then.
pub async fn shut_down(session: &dyn Session, family: Family) -> Result<()> {
    match family {
        Family::Unix => shutdown::shut_down_if(session, guard("")).await,
        Family::Windows => windows::shut_down(session).await,
    }
}

/// Lets a script be run for as long as the guest is lent to this holder.
pub(crate) fn guard(holder: &str) -> Guard<'_> {
    Guard { text: GUARD, argument: holder }
}

async fn run(session: &dyn Session, text: &str, arguments: &[&str]) -> Result<Lent> {
    let command = script::privileged(&format!("{ROOT}{PLACE}{text}echo D\n"), arguments, Stdin::Closed);
    let bounds = Bounds { timeout: Some(DEADLINE), limit_bytes: ANSWER_BYTES };
    let captured = capture(session, command, bounds).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace(|c: char| c.is_control(), " ");
    let (said, complaint) = (text(&captured.stdout), text(&captured.stderr));
    if let Exit::Lost(why) = captured.exit {
        return Err(transports::Error::Lost(why).into());
    }
    match (said.strip_prefix("H "), said.strip_prefix("U ")) {
        _ if said == "D" => Ok(Lent::Done),
        (Some(other), _) => Ok(Lent::Another(other.to_owned())),
        (_, Some(why)) => Err(Error::Unsupported(why.to_owned())),
        _ => {
            Err(Error::Ended(format!("lending the guest ended with {:?}: {said} {complaint}", captured.exit)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_one_line() {
        assert!(Holder::new("node 1 machine 2").is_ok());
        for bad in ["", "a\nb", &"x".repeat(301)] {
            assert!(Holder::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_small_server_takes_every_script() {
        let longest = "x".repeat(300);
        for text in [CLAIM.to_owned(), format!("{CLAIM}{NAMES}"), GIVE_BACK.to_owned(), GUARD.to_owned()] {
            let arguments = [&longest[..63], &longest[..], &longest[..]];
            let command = script::privileged(&format!("{ROOT}{PLACE}{text}"), &arguments, Stdin::Closed);
            let length: usize = command.argv.iter().map(String::len).sum();
            assert!(length < 6000, "{length} bytes, before quoting");
        }
    }
}
