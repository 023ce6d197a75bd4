//! The scripts for Windows, as far as that can be seen without one: they are PowerShell by its grammar, and use nothing that
//! PowerShell 2.0 lacks; and what is really sent is made of them, and shows no secret.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod grammar;
mod recorder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grammar::{errors, functions, later};
use recorder::everything;

fn scripts() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ps1") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 15, "the scripts are looked for in the wrong place");
    found
}

#[test]
fn every_script_is_powershell() {
    for (path, text) in scripts() {
        assert_eq!(errors(&text), [""; 0], "{}", path.display());
    }
    assert_ne!(errors("if ($x { say 'D' }"), [""; 0], "the grammar is one");
}

#[test]
fn no_script_needs_more_than_version_2() {
    let scripts = scripts();
    let defined = scripts.iter().flat_map(|(_, text)| functions(text)).collect();
    for (path, text) in &scripts {
        assert_eq!(later(text, &defined), [""; 0], "{}", path.display());
        assert!(text.is_ascii(), "{}: PowerShell may read it in any code page", path.display());
    }
    for (newer, word) in [
        ("Get-CimInstance Win32_Process", "get-ciminstance"),
        ("Get-WmiObject Win32_Process -Property Name", "-property"),
        ("if ('a' -in $list) { say 'D' }", "-in"),
        ("$o = [PSCustomObject]@{ a = 1 }", "[pscustomobject]"),
        ("$list.ForEach({ $_ })", ".foreach("),
        ("mount x y", "mount"),
    ] {
        assert!(
            later(newer, &defined).iter().any(|found| found == word),
            "{newer}: {:?}",
            later(newer, &defined)
        );
    }
}

/// A name that PowerShell has for a command of its own would be that command.
#[test]
fn no_function_is_called_as_an_alias() {
    let aliases = [
        "mount", "move", "kill", "sleep", "write", "type", "clear", "copy", "del", "start", "set", "where",
        "sort", "h", "r",
    ];
    for (path, text) in scripts() {
        for name in functions(&text) {
            assert!(!aliases.contains(&&name[..]), "{}: {name}", path.display());
        }
    }
}

/// The script in a command line.
fn encoded(argv: &[String]) -> String {
    let bytes = STANDARD.decode(argv.last().unwrap()).unwrap();
    let units = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(std::result::Result::unwrap).collect()
}

#[tokio::test]
async fn what_is_sent_is_powershell_and_shows_nothing() {
    let mut readers = BTreeMap::new();
    for (argv, input) in everything().await {
        let line = argv.join(" ");
        assert!(line.len() < 8_000 && !line.contains("hunter2"), "{line}");
        if argv[0] == "cmd.exe" {
            continue;
        }
        assert_eq!(argv[0], "powershell.exe", "{line}");
        let reader = encoded(&argv);
        assert!(!reader.contains("hunter2"), "{reader}");
        assert_eq!(errors(&reader), [""; 0], "{reader}");
        let mut scripts = vec![reader.clone()];
        if !input.is_empty() {
            *readers.entry(reader.clone()).or_insert(0) += 1;
            let lines = String::from_utf8(input.to_vec()).unwrap();
            let lines = lines.lines().map(|line| String::from_utf8(STANDARD.decode(line).unwrap()).unwrap());
            // The first is the script; what a start has its supervisor run is an argument.
            scripts = lines.filter(|line| line.contains("function ")).collect();
            assert!(!scripts.is_empty(), "{line}");
        }
        for script in scripts {
            assert!(!script.contains("hunter2"), "what is secret is no part of a script: {script}");
            assert_eq!(errors(&script), [""; 0], "{script}");
            // Each has all the functions that it calls.
            let defined = functions(&script).into_iter().chain(functions(&reader)).collect();
            assert_eq!(later(&script, &defined), [""; 0], "{script}");
        }
    }
    assert_eq!(readers.len(), 1, "the command line is the same for each");
}
