//! Which boot of a guest this is.
//!
//! Happy path: Linux names each of its boots by a random id, and Windows counts them in its registry; both tell it to everybody.
//! Windows' number is kept by its prefetcher: it may change a while after the boot, which costs a second giving of what is there
//! already; or, where its service `SysMain` is off, not at all, and what was given is on Windows' disk still.
//!
//! Failure paths: a guest that has no such thing, or says something else, is [`None`]: it may have booted anew at any time.

use std::time::Duration;

use transports::{Bounds, Command, Exit, Session, Stdin, capture};

use crate::{Family, Result};

/// Where Linux tells it.
const ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long an id of Linux is: that of a UUID.
const LENGTH: usize = 36;
/// Where Windows counts them, as the program `reg` has it.
const KEY: &str =
    r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
const VALUE: &str = "BootId";
/// How long a guest may take to tell it.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than what is said of it.
const ANSWER_BYTES: usize = 1024;

/// The id of the guest's boot.
pub async fn id(session: &dyn Session, family: Family) -> Result<Option<String>> {
    let argv: &[&str] = match family {
        Family::Unix => &["cat", ID],
        // PowerShell would take a second for it.
        Family::Windows => &["reg.exe", "query", KEY, "/v", VALUE],
    };
    let command = Command { argv: argv.iter().map(ToString::to_string).collect(), stdin: Stdin::Closed };
    let captured =
        capture(session, command, Bounds { timeout: Some(DEADLINE), limit_bytes: ANSWER_BYTES }).await?;
    match captured.exit {
        Exit::Lost(why) => Err(transports::Error::Lost(why).into()),
        Exit::Code(0) => Ok(match family {
            Family::Unix => linux(&captured.stdout),
            Family::Windows => windows(&captured.stdout),
        }),
        Exit::Code(_) | Exit::Signal(_) => Ok(None),
    }
}

fn linux(told: &[u8]) -> Option<String> {
    let told = std::str::from_utf8(told).ok()?.strip_suffix('\n')?;
    let is_id = told.len() == LENGTH && told.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_id.then(|| told.to_owned())
}

/// A line `    BootId    REG_DWORD    0x2a`, after one with the key in whatever language.
fn windows(told: &[u8]) -> Option<String> {
    let told = String::from_utf8_lossy(told);
    let words = told.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == VALUE && words.next()? == "REG_DWORD").then(|| words.next().map(str::to_owned))
    })?;
    let count = u32::from_str_radix(words?.strip_prefix("0x")?, 16).ok()?;
    Some(format!("boot-{count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_is_one() {
        let id = "3f0c9a0e-6d0f-4d0e-9a51-0c2f1f6f7a10";
        assert_eq!(linux(format!("{id}\n").as_bytes()).as_deref(), Some(id));
        for other in ["", "\n", id, "motd\n", &format!("{}\n", "z".repeat(36))] {
            assert_eq!(linux(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn windows_counts() {
        let told =
            |value: &str| windows(format!("\r\nHKEY_LOCAL_MACHINE\\SYSTEM\\x\r\n{value}\r\n\r\n").as_bytes());
        assert_eq!(told("    BootId    REG_DWORD    0x2a").as_deref(), Some("boot-42"));
        for other in
            ["", "    BootId    REG_SZ    0x2a", "    BootId    REG_DWORD    42", "    BootId    REG_DWORD"]
        {
            assert_eq!(told(other), None, "{other:?}");
        }
    }
}
