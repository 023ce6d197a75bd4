//! Commands that run a PowerShell script, whatever characters it holds.
//!
//! ```text
//!   short script: powershell.exe -EncodedCommand <base64 of UTF-16LE>
//!   longer one:   the same with a few words that read the script from standard input
//! ```
//!
//! - Happy path: the exit code is that of the script's `exit`. Without one it is 0 where its last command has succeeded, else
//!   that of the program that has failed, or 1; the same for either length.
//! - Failures: a long script with an input of its own ([`Error::Invalid`]).
//!
//! Only what PowerShell 2.0 knows is used, so that Windows Server 2008 R2 does it too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::{Command, Error, Result, Stdin};

/// The most characters of an encoded script in a command line: Windows takes 8,191 of all.
const MOST_CHARACTERS: usize = 7_900;

/// What `PowerShell` is called with. Without the last two it reads its input by itself, for `$input`, beside the script.
const WORDS: [&str; 8] = [
    "powershell.exe",
    "-NoLogo",
    "-NoProfile",
    "-NonInteractive",
    "-ExecutionPolicy",
    "Bypass",
    "-InputFormat",
    "None",
];

/// Reads all of standard input as UTF-8 and runs it.
const READ: &str = "$r=New-Object IO.StreamReader([Console]::OpenStandardInput(),(New-Object Text.UTF8Encoding($false)));\
    $s=$r.ReadToEnd();&([ScriptBlock]::Create($s))";

/// The end of each script. `$?` is read first, for every command changes it; what is before may end in a comment.
const END: &str = "\nif($?){exit 0};if($LASTEXITCODE){exit $LASTEXITCODE};exit 1";

/// The command that runs a script. A long script comes on standard input and then has none of its own.
pub fn powershell(script: &str, stdin: Stdin) -> Result<Command> {
    let script = format!("{script}{END}");
    let encoded = encode(&script);
    if encoded.len() <= MOST_CHARACTERS {
        return Ok(Command { argv: argv(encoded), stdin });
    }
    if !matches!(stdin, Stdin::Closed) {
        return Err(Error::Invalid(
            "a PowerShell script of this length comes on standard input itself: write its input to a file, or shorten it".into(),
        ));
    }
    Ok(Command { argv: argv(encode(READ)), stdin: Stdin::Bytes(Bytes::from(script)) })
}

fn argv(encoded: String) -> Vec<String> {
    let mut argv = WORDS.map(str::to_owned).to_vec();
    argv.extend(["-EncodedCommand".to_owned(), encoded]);
    argv
}

/// Base64 of UTF-16LE.
fn encode(script: &str) -> String {
    let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    STANDARD.encode(bytes)
}

/// Whether a program is a PowerShell, by its name.
pub(crate) fn is_powershell(program: &str) -> bool {
    let name = program.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.strip_suffix(".exe").unwrap_or(&name), "powershell" | "pwsh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_powershell_takes() {
        // As `[Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes('dir é'))` gives them.
        assert_eq!(encode("dir é"), "ZABpAHIAIADpAA==");
        let command = powershell("dir é", Stdin::Piped).unwrap();
        assert_eq!(command.argv[8..], ["-EncodedCommand".to_owned(), encode(&format!("dir é{END}"))]);
        assert!(matches!(command.stdin, Stdin::Piped));
        assert!(is_powershell(&command.argv[0]));
        assert!(is_powershell("C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\PowerShell.EXE"));
        assert!(is_powershell("pwsh") && !is_powershell("powershell.exe.bat") && !is_powershell("sh"));
    }

    #[test]
    fn a_long_script_comes_on_standard_input() {
        let script = format!("'{}'", "ü".repeat(5_000));
        let command = powershell(&script, Stdin::Closed).unwrap();
        let line: usize = command.argv.iter().map(|word| word.len() + 3).sum();
        assert!(line < 8_191, "{line}");
        let whole = format!("{script}{END}");
        assert!(
            matches!(command.stdin, Stdin::Bytes(bytes) if bytes == whole.as_bytes()),
            "with the same end"
        );
        let longest = "x".repeat(MOST_CHARACTERS / 4 * 3 / 2 - END.len());
        let command = powershell(&longest, Stdin::Piped).unwrap();
        let line: usize = command.argv.iter().map(|word| word.len() + 3).sum();
        assert!(line < 8_191, "{line}");
        // Its own input would be lost.
        for stdin in [Stdin::Piped, Stdin::Bytes("x".into())] {
            let error = powershell(&script, stdin).unwrap_err();
            assert!(matches!(&error, Error::Invalid(why) if why.contains("standard input")), "{error:?}");
        }
    }
}
