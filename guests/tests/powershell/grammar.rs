//! PowerShell's grammar, and the words that its version 2.0 has.
//!
//! What came with 3.0 is mostly no syntax error in 2.0 but a wrong word, so the words are listed that may stand there: commands and
//! their parameters, operators, variables that PowerShell sets itself. A new one is looked up in the documentation of 2.0 first.

use std::collections::BTreeSet;

use tree_sitter::{Node, Parser, Tree};

/// Commands of PowerShell 2.0 with the parameters that are used, and programs of Windows.
const COMMANDS: [(&str, &[&str]); 9] = [
    ("add-type", &["-namespace", "-name", "-memberdefinition"]),
    ("cmd.exe", &[]),
    ("get-itemproperty", &[]),
    ("get-wmiobject", &["-filter"]),
    ("new-object", &[]),
    ("set-itemproperty", &[]),
    ("sort-object", &["-descending"]),
    ("start-sleep", &["-milliseconds", "-seconds"]),
    ("test-path", &[]),
];
/// Operators of PowerShell 2.0.
const OPERATORS: [&str; 11] =
    ["-eq", "-ne", "-cne", "-lt", "-le", "-gt", "-ge", "-replace", "-split", "-join", "-match"];
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
pub(crate) fn errors(text: &str) -> Vec<String> {
    let tree = parse(text);
    let bad = |node: &Node<'_>| node.is_error() || node.is_missing();
    nodes(&tree)
        .into_iter()
        .filter(bad)
        .map(|node| format!("line {}: {}", node.start_position().row + 1, &text[node.byte_range()]))
        .collect()
}

/// What of a script PowerShell 2.0 does not know; `defined` are the functions that are there.
pub(crate) fn later(text: &str, defined: &BTreeSet<String>) -> Vec<String> {
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
pub(crate) fn functions(text: &str) -> Vec<String> {
    let tree = parse(text);
    let names = nodes(&tree).into_iter().filter(|node| node.kind() == "function_name");
    names.map(|node| text[node.byte_range()].to_lowercase()).collect()
}
