//! The scripts for Windows, as far as that can be seen without one: they are PowerShell by its grammar, and use nothing that
//! PowerShell 2.0 lacks.
//!
//! What came with 3.0 is mostly no syntax error in 2.0 but a wrong word, so the words are listed that may stand there: commands and
//! their parameters, operators, variables that PowerShell sets itself. A new one is looked up in the documentation of 2.0 first.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tree_sitter::{Node, Parser, Tree};

/// Commands of PowerShell 2.0 with the parameters that are used, and programs of Windows.
const COMMANDS: [(&str, &[&str]); 7] = [
    ("add-type", &["-namespace", "-name", "-memberdefinition"]),
    ("cmd.exe", &[]),
    ("get-itemproperty", &[]),
    ("get-wmiobject", &["-filter"]),
    ("new-object", &[]),
    ("sort-object", &["-descending"]),
    ("start-sleep", &["-milliseconds", "-seconds"]),
];
/// Operators of PowerShell 2.0.
const OPERATORS: [&str; 10] =
    ["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-replace", "-split", "-join", "-match"];
/// Words that 2.0 does not have as it is meant, whatever they stand in: later variables, methods of collections, constructors, types.
const LATER: [&str; 11] = [
    "$psitem",
    "$psscriptroot",
    "$pscommandpath",
    "$using:",
    "::new(",
    ".foreach(",
    ".where(",
    "[pscustomobject]",
    "[ordered]",
    "convertto-json",
    "get-ciminstance",
];

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

fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    parser.parse(text, None).unwrap()
}

/// Every node of a tree.
fn nodes(tree: &Tree) -> Vec<Node<'_>> {
    let mut all = vec![tree.root_node()];
    let mut at = 0;
    while let Some(node) = all.get(at).copied() {
        let mut cursor = node.walk();
        all.extend(node.children(&mut cursor));
        at += 1;
    }
    all
}

/// What of a script its grammar does not know.
fn errors(text: &str) -> Vec<String> {
    let tree = parse(text);
    let bad = |node: &Node<'_>| node.is_error() || node.is_missing();
    nodes(&tree)
        .into_iter()
        .filter(bad)
        .map(|node| format!("line {}: {}", node.start_position().row + 1, &text[node.byte_range()]))
        .collect()
}

/// What of a script PowerShell 2.0 does not know; `defined` are the functions that are there.
fn later(text: &str, defined: &BTreeSet<String>) -> Vec<String> {
    let tree = parse(text);
    let mut found: Vec<String> =
        LATER.iter().filter(|word| text.to_lowercase().contains(**word)).map(ToString::to_string).collect();
    for node in nodes(&tree) {
        let word = text[node.byte_range()].to_lowercase();
        match node.kind() {
            "command_name" if !defined.contains(&word) && !COMMANDS.iter().any(|(name, _)| *name == word) => {
                found.push(word);
            }
            "command_parameter"
                if !COMMANDS.iter().any(|(_, parameters)| parameters.contains(&&word[..])) =>
            {
                found.push(word);
            }
            "comparison_operator" if !OPERATORS.contains(&&word[..]) => found.push(word),
            "class_statement" | "enum_statement" | "pipeline_chain_tail" | "ternary_argument_expression" => {
                found.push(node.kind().to_owned());
            }
            _ => {}
        }
    }
    found
}

/// The functions that a script has.
fn functions(text: &str) -> Vec<String> {
    let tree = parse(text);
    let names = nodes(&tree).into_iter().filter(|node| node.kind() == "function_name");
    names.map(|node| text[node.byte_range()].to_lowercase()).collect()
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
