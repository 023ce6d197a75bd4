//! Which boot of a guest this is.
//!
//! Happy path: Linux names each of its boots by a random id, and tells it to everybody. Failure paths: a guest that has no such
//! id, or says something else, is [`None`]: it may have booted anew at any time.

use std::time::Duration;

use transports::{Bounds, Command, Exit, Session, Stdin, capture};

use crate::Result;

/// Where Linux tells it.
const ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long an id is: that of a UUID.
const LENGTH: usize = 36;
/// How long a guest may take to tell it.
const DEADLINE: Duration = Duration::from_secs(30);

/// The id of the guest's boot.
pub async fn id(session: &dyn Session) -> Result<Option<String>> {
    let command = Command { argv: vec!["cat".into(), ID.into()], stdin: Stdin::Closed };
    let captured =
        capture(session, command, Bounds { timeout: Some(DEADLINE), limit_bytes: LENGTH + 1 }).await?;
    match captured.exit {
        Exit::Lost(why) => Err(transports::Error::Lost(why).into()),
        Exit::Code(0) => Ok(parse(&captured.stdout)),
        Exit::Code(_) | Exit::Signal(_) => Ok(None),
    }
}

fn parse(told: &[u8]) -> Option<String> {
    let told = std::str::from_utf8(told).ok()?.strip_suffix('\n')?;
    let is_id = told.len() == LENGTH && told.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_id.then(|| told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_an_id_is_one() {
        let id = "3f0c9a0e-6d0f-4d0e-9a51-0c2f1f6f7a10";
        assert_eq!(parse(format!("{id}\n").as_bytes()).as_deref(), Some(id));
        for other in ["", "\n", id, "motd\n", &format!("{}\n", "z".repeat(36))] {
            assert_eq!(parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
