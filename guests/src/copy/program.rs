//! The programs in a guest that receive and give a file, for each family.
//!
//! - Unix: a script of `sh`, with root's rights where the guest gives them; what it works on are its arguments.
//! - Windows: a script of `PowerShell` 2.0; what it works on stands in the first lines of its input, the path as base64.
//!   It has not been tried on Windows itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use transports::{Command, Stdin, powershell};

use crate::script::{compact, privileged};
use crate::{Error, Family, Result};

const RECEIVE: &str = include_str!("sh/receive.sh");
const SEND: &str = include_str!("sh/send.sh");
const WINDOWS_FRAME: &str = include_str!("ps/frame.ps1");
const WINDOWS_RECEIVE: &str = include_str!("ps/receive.ps1");
const WINDOWS_SEND: &str = include_str!("ps/send.ps1");

/// A program of the guest, and what its input begins with.
pub(super) struct Program {
    pub(super) command: Command,
    pub(super) preamble: Bytes,
}

impl Program {
    /// The one that receives a file of this length and hash.
    pub(super) fn receiving(family: Family, path: &str, bytes: u64, hash: &str, mode: u32) -> Result<Self> {
        check(family, path)?;
        Ok(match family {
            Family::Unix => {
                let (bytes, mode) = (bytes.to_string(), format!("{mode:04o}"));
                Self::unix(RECEIVE, &[path, &bytes, hash, &mode])
            }
            Family::Windows => Self::windows(WINDOWS_RECEIVE, path, &format!("{bytes}\n{hash}\n"))?,
        })
    }

    /// The one that gives a file.
    pub(super) fn giving(family: Family, path: &str) -> Result<Self> {
        check(family, path)?;
        Ok(match family {
            Family::Unix => Self::unix(SEND, &[path]),
            Family::Windows => Self::windows(WINDOWS_SEND, path, "")?,
        })
    }

    fn unix(script: &str, arguments: &[&str]) -> Self {
        Self { command: privileged(script, arguments, Stdin::Piped), preamble: Bytes::new() }
    }

    fn windows(script: &str, path: &str, further: &str) -> Result<Self> {
        let script = compact(&format!("{WINDOWS_FRAME}{script}"));
        let preamble = format!("{}\n{further}", STANDARD.encode(path));
        Ok(Self { command: powershell(&script, Stdin::Piped)?, preamble: preamble.into() })
    }
}

/// Whether a path says where the file is, whatever directory the program begins in.
fn check(family: Family, path: &str) -> Result<()> {
    let (absolute, example) = match family {
        Family::Unix => (path.starts_with('/'), "/srv/file"),
        Family::Windows => {
            let bytes = path.as_bytes();
            let drive = bytes.len() > 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
            (path.starts_with("\\\\") || drive && matches!(bytes[2], b'\\' | b'/'), "C:\\folder\\file")
        }
    };
    if absolute && !path.contains('\0') {
        return Ok(());
    }
    Err(Error::Unsupported(format!("{path:?} is no absolute path of a file in the guest: write {example}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(program: &Program) -> String {
        let encoded = STANDARD.decode(program.command.argv.last().unwrap()).unwrap();
        let units: Vec<u16> = encoded.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn windows_is_told_in_its_input_what_it_works_on() {
        let hash = "ab".repeat(32);
        let path = "C:\\größer 'x' %TEMP%\\$file";
        let receiving = Program::receiving(Family::Windows, path, 12, &hash, 0o600).unwrap();
        let lines = format!("{}\n12\n{hash}\n", STANDARD.encode(path));
        assert_eq!(receiving.preamble, lines);
        assert!(!receiving.command.argv.concat().contains("TEMP"));
        let giving = Program::giving(Family::Windows, path).unwrap();
        assert_eq!(giving.preamble, format!("{}\n", STANDARD.encode(path)));
        for program in [receiving, giving] {
            // Else its input would be the script.
            assert!(matches!(program.command.stdin, Stdin::Piped));
            let text = script(&program);
            assert!(text.starts_with("trap {\n") && !text.contains('#'), "{text}");
        }
    }

    #[test]
    fn only_absolute_paths_are_taken() {
        for (family, path, absolute) in [
            (Family::Unix, "/a b", true),
            (Family::Unix, "a", false),
            (Family::Unix, "/a\0", false),
            (Family::Windows, "C:\\a", true),
            (Family::Windows, "d:/a", true),
            (Family::Windows, "\\\\host\\share\\a", true),
            (Family::Windows, "C:a", false),
            (Family::Windows, "\\a", false),
            (Family::Windows, "C:\\", false),
        ] {
            assert_eq!(Program::giving(family, path).is_ok(), absolute, "{path:?}");
        }
    }
}
