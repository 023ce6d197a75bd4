//! XML of the guest, read within bounds.
//!
//! - Happy path: a document.
//! - What is no XML, has entities, or takes long to be read for its length: none, with the reason in short.
//!
//! The library compares each attribute of an element with all before it, and each namespace that an element brings with
//! those around it. Half a megabyte of them would keep a processor busy for minutes.

use roxmltree::{Document, ParsingOptions};

/// The most elements; real answers have a few dozen.
const MOST_NODES: u32 = 20_000;

/// The most attributes of an element.
const MOST_ATTRIBUTES: usize = 64;

/// The most namespaces of all elements.
const MOST_NAMESPACES: usize = 128;

/// The most characters of a reason, which may quote the guest.
const REASON_MAX_CHARS: usize = 200;

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    if !light(text) {
        return Err("too many attributes".into());
    }
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        error.to_string().chars().map(plain).take(REASON_MAX_CHARS).collect()
    })
}

/// Whether no element has many attributes, and there are few namespaces.
fn light(text: &str) -> bool {
    let mut namespaces = 0;
    // No attribute holds this sign, so no piece has more than one element. Text that looks like attributes counts, too.
    text.split('<').all(|piece| {
        let attributes = piece.match_indices('=').filter(|(at, _)| {
            let value = piece[at + 1..].trim_start();
            value.starts_with(['"', '\''])
        });
        namespaces += piece
            .match_indices("xmlns")
            .filter(|(at, _)| piece[..*at].ends_with(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')))
            .count();
        attributes.count() <= MOST_ATTRIBUTES && namespaces <= MOST_NAMESPACES
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_takes_long_is_not_read() {
        let list = |count: usize, name: &str, value: &str| {
            (0..count).fold(String::new(), |mut list, n| {
                let _ = write!(list, " {name}{n} = {value}");
                list
            })
        };
        assert!(parse(&format!("<a{}/>", list(60, "b", "'x=y'"))).is_ok());
        assert!(parse(&format!("<a>{}</a>", "====".repeat(100_000))).is_ok());
        for element in [list(20_000, "b", "''"), list(20_000, "xmlns:b", "\"x\"")] {
            assert_eq!(parse(&format!("<!-- \" --><a{element}/>")).unwrap_err(), "too many attributes");
        }
        // A namespace for each of many elements, one in the other.
        let nested = |count: usize| {
            let open = (0..count).fold(String::new(), |mut open, n| {
                let _ = write!(open, "<a\nxmlns:b{n}='x{n}'>");
                open
            });
            format!("{open}{}", "</a>".repeat(count))
        };
        assert!(parse(&nested(100)).is_ok());
        assert_eq!(parse(&nested(10_000)).unwrap_err(), "too many attributes");
    }

    #[test]
    fn a_reason_is_short_and_on_one_line() {
        let reason = parse(&format!("<a></{}\n>", "b".repeat(100_000))).unwrap_err();
        assert!(reason.len() <= 4 * REASON_MAX_CHARS && !reason.contains('\n'), "{reason}");
    }
}
