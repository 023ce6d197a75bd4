//! Commands that run a PowerShell script, whatever characters it holds.
//!
//! ```text
//!   short script: powershell.exe -EncodedCommand <base64 of UTF-16LE>
//!   longer one:   the same with a few words that read the script from standard input
//! ```
//!
//! Only what PowerShell 2.0 knows is used, so that Windows Server 2008 R2 does it too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::{Command, Stdin};

/// The most characters of an encoded script in a command line: Windows takes 8,191 of all.
const MOST_CHARACTERS: usize = 7_900;

/// Reads all of standard input as UTF-8 and runs it. The exit code is the script's.
const READ: &str = "$r=New-Object IO.StreamReader([Console]::OpenStandardInput(),(New-Object Text.UTF8Encoding($false)));\
    $s=$r.ReadToEnd();&([ScriptBlock]::Create($s));exit $LASTEXITCODE";

/// The command that runs a script. Its standard input is the script's own, but for a long script, which comes that way
/// itself and then has none.
pub fn powershell(script: &str, stdin: Stdin) -> Command {
    let encoded = encode(script);
    if encoded.len() <= MOST_CHARACTERS {
        return Command { argv: argv(encoded), stdin };
    }
    Command { argv: argv(encode(READ)), stdin: Stdin::Bytes(Bytes::from(script.to_owned())) }
}

fn argv(encoded: String) -> Vec<String> {
    let words = ["powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass"];
    let mut argv: Vec<String> = words.map(str::to_owned).to_vec();
    argv.extend(["-EncodedCommand".to_owned(), encoded]);
    argv
}

/// Base64 of UTF-16LE.
fn encode(script: &str) -> String {
    let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    STANDARD.encode(bytes)
}

/// Whether a program is a PowerShell, by its name.
pub(super) fn is_powershell(program: &str) -> bool {
    let name = program.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.strip_suffix(".exe").unwrap_or(&name), "powershell" | "pwsh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_powershell_takes() {
        // As `[Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes('dir é'))` gives them.
        let command = powershell("dir é", Stdin::Closed);
        assert_eq!(command.argv[6..], ["-EncodedCommand", "ZABpAHIAIADpAA=="]);
        assert!(is_powershell(&command.argv[0]));
        assert!(is_powershell("C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\PowerShell.EXE"));
        assert!(is_powershell("pwsh") && !is_powershell("powershell.exe.bat") && !is_powershell("sh"));
    }

    #[test]
    fn a_long_script_comes_on_standard_input() {
        let script = format!("'{}'", "ü".repeat(5_000));
        let command = powershell(&script, Stdin::Closed);
        let line: usize = command.argv.iter().map(|word| word.len() + 3).sum();
        assert!(line < 8_191, "{line}");
        assert!(matches!(command.stdin, Stdin::Bytes(bytes) if bytes == script.as_bytes()));
        let longest = "x".repeat(MOST_CHARACTERS / 4 * 3 / 2);
        let line: usize = powershell(&longest, Stdin::Closed).argv.iter().map(|word| word.len() + 3).sum();
        assert!(line < 8_191, "{line}");
    }
}
