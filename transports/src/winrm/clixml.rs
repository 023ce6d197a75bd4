//! What PowerShell writes to standard error when nobody sits before it: `#< CLIXML`, then XML with a record for each
//! message. Here it becomes the lines that a person would have seen.
//!
//! ```text
//!   text --"#< CLIXML" at the beginning of a line, then <Objs--> records --</Objs>--> text
//! ```
//!
//! - Happy path: errors come through as they are, warnings and the like with their usual prefix; records of progress are
//!   left out. Records are decoded as they come, in whatever pieces.
//! - Text that is no such XML comes through byte for byte, as does a record that is longer than 256 KiB, or whose end
//!   never came.
//! - However small the pieces are, nothing is looked at again and again.

use bytes::Bytes;

use super::xml;

const MARK: &[u8] = b"#< CLIXML";
const BEGIN: &[u8] = b"<Objs";
const END: &[u8] = b"</Objs>";

/// The most bytes that are kept for a record's end to come.
const MOST_BYTES: usize = 256 * 1024;

/// The most bytes of a tag.
const MOST_TAG_BYTES: usize = 1024;

/// Decodes one stream.
#[derive(Debug, Default)]
pub(crate) struct Clixml {
    /// What could not be decided yet, from here on.
    kept: Vec<u8>,
    at: usize,
    /// Bytes from there on in which the record's end does not begin.
    searched: usize,
    inside: bool,
    /// Whether the XML has just ended, whose line's end is no text.
    ended: bool,
    /// Whether text stands before what is kept, on its line.
    within_line: bool,
}

impl Clixml {
    /// Takes a piece and gives what can be shown of all so far.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.kept.extend_from_slice(piece);
        let mut shown = Vec::new();
        while self.step(&mut shown) {}
        if self.rest().len() > MOST_BYTES {
            self.let_go(&mut shown);
        }
        self.kept.drain(..self.at);
        self.at = 0;
        shown.into()
    }

    /// Gives what was still kept.
    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.kept).into()
    }

    fn rest(&self) -> &[u8] {
        &self.kept[self.at..]
    }

    /// Takes one thing from what is kept. False when more has to come.
    fn step(&mut self, shown: &mut Vec<u8>) -> bool {
        if self.inside { self.record(shown) } else { self.text(shown) }
    }

    /// Text up to the end of its line, or the beginning of XML.
    fn text(&mut self, shown: &mut Vec<u8>) -> bool {
        if self.ended && !self.skip_line_end() {
            return false;
        }
        if !self.within_line && !self.rest().is_empty() {
            match begin(self.rest()) {
                Begin::At(length) => {
                    self.at += length;
                    self.inside = true;
                    return true;
                }
                Begin::Maybe => return false,
                Begin::No => {}
            }
        }
        let line = self.rest().iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let length = line.unwrap_or(self.rest().len());
        self.pass(length, shown);
        line.is_some()
    }

    fn pass(&mut self, length: usize, shown: &mut Vec<u8>) {
        let passed = &self.kept[self.at..self.at + length];
        if let Some(&last) = passed.last() {
            self.within_line = last != b'\n';
        }
        shown.extend_from_slice(passed);
        self.at += length;
    }

    /// What was taken for XML is shown as it is.
    fn let_go(&mut self, shown: &mut Vec<u8>) {
        self.pass(self.rest().len(), shown);
        (self.inside, self.searched) = (false, 0);
    }

    /// One element of the XML.
    fn record(&mut self, shown: &mut Vec<u8>) -> bool {
        let Some(start) = self.rest().iter().position(|&byte| byte == b'<') else {
            self.at = self.kept.len();
            return false;
        };
        self.at += start;
        let rest = &self.kept[self.at..];
        if rest.starts_with(END) {
            self.at += END.len();
            (self.inside, self.ended, self.within_line) = (false, true, false);
            return true;
        }
        let Some(tag) = rest.iter().take(MOST_TAG_BYTES).position(|&byte| byte == b'>') else {
            if rest.len() >= MOST_TAG_BYTES {
                self.let_go(shown);
            }
            return false;
        };
        if rest[1] == b'/' || rest[tag - 1] == b'/' {
            // What is left of a record that has such ones within it, or nothing.
            self.at += tag + 1;
            return true;
        }
        let name = rest[1..tag].split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let closing = [b"</", name, b">"].concat();
        let from = self.searched.max(tag);
        let Some(found) = find(&rest[from..], &closing) else {
            self.searched = (rest.len() + 1).saturating_sub(closing.len());
            return false;
        };
        let end = from + found + closing.len();
        let element = String::from_utf8_lossy(&rest[..end]);
        if let Some(line) = message(&element) {
            shown.extend_from_slice(line.as_bytes());
        }
        self.at += end;
        self.searched = 0;
        true
    }

    /// Takes the end of a line away, where one stands there. False when more has to come.
    fn skip_line_end(&mut self) -> bool {
        let length = match self.rest() {
            [] | [b'\r'] => return false,
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
        self.at += length;
        self.ended = false;
        true
    }
}

enum Begin {
    /// XML begins, after so many bytes.
    At(usize),
    /// It may begin, if the rest comes.
    Maybe,
    No,
}

/// Whether XML begins here: the mark, a line's end, and the opening element.
fn begin(kept: &[u8]) -> Begin {
    let mark = kept.len().min(MARK.len());
    if kept[..mark] != MARK[..mark] {
        return Begin::No;
    }
    let after = kept[mark..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let root = &kept[mark + after..];
    let length = root.len().min(BEGIN.len());
    if after > 64 || root[..length] != BEGIN[..length] {
        return Begin::No;
    }
    match root.iter().take(MOST_TAG_BYTES).position(|&byte| byte == b'>') {
        Some(at) if length == BEGIN.len() => Begin::At(mark + after + at + 1),
        None if root.len() >= MOST_TAG_BYTES => Begin::No,
        _ => Begin::Maybe,
    }
}

/// What a record shows: a text with its stream's prefix. None for progress and whatever else is no message.
fn message(element: &str) -> Option<String> {
    let document = xml::parse(element).ok()?;
    let root = document.root_element();
    let prefix = match (root.tag_name().name(), root.attribute("S")?) {
        ("S", "Error" | "error" | "Output" | "output") => "",
        ("S", "Warning" | "warning") => "WARNING: ",
        ("S", "Verbose" | "verbose") => "VERBOSE: ",
        ("S", "Debug" | "debug") => "DEBUG: ",
        _ => return None,
    };
    let text = unescape(root.text().unwrap_or_default());
    let end = if prefix.is_empty() || text.ends_with('\n') { "" } else { "\r\n" };
    Some(format!("{prefix}{text}{end}"))
}

/// A text without its `_xHHHH_`, by which UTF-16 units are written that XML has no character for.
fn unescape(text: &str) -> String {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let unit = rest
            .strip_prefix("_x")
            .and_then(|digits| Some((digits.get(..4)?, digits.get(4..)?.strip_prefix('_')?)))
            .and_then(|(digits, after)| Some((u16::from_str_radix(digits, 16).ok()?, after)));
        if let Some((unit, after)) = unit {
            units.push(unit);
            rest = after;
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            rest = &rest[c.len_utf8()..];
        }
    }
    String::from_utf16_lossy(&units)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const DOCUMENT: &str = "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" \
        xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">\
        <Obj S=\"progress\" RefId=\"0\"><TN RefId=\"0\"><T>x</T></TN><MS><I64 N=\"SourceId\">1</I64></MS></Obj>\
        <S S=\"Error\">Get-Item : no &lt;file&gt;_x000D__x000A_</S><S S=\"Error\">  + in line 1 _xD83E__xDD80__x000D__x000A_</S>\
        <S S=\"warning\">careful</S></Objs>";
    const SHOWN: &str = "Get-Item : no <file>\r\n  + in line 1 🦀\r\nWARNING: careful\r\n";

    /// The stream in pieces of so many bytes.
    fn decoded(text: &str, bytes: usize) -> String {
        let mut clixml = Clixml::default();
        let mut shown = Vec::new();
        for piece in text.as_bytes().chunks(bytes) {
            shown.extend_from_slice(&clixml.push(piece));
        }
        shown.extend_from_slice(&clixml.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn records_become_lines_in_whatever_pieces_they_come() {
        for bytes in 1..DOCUMENT.len() {
            assert_eq!(decoded(DOCUMENT, bytes), SHOWN, "pieces of {bytes}");
        }
        let twice = format!("before\n{DOCUMENT}\r\n{DOCUMENT}after\n");
        let shown = format!("before\n{SHOWN}{SHOWN}after\n");
        for bytes in [1, 7, 64, 10_000] {
            assert_eq!(decoded(&twice, bytes), shown, "pieces of {bytes}");
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "",
            "plain\nlines\r\n",
            "#< CLIXML",
            "#< CLIXML is a format\n",
            "say #< CLIXML\r\n<Objs>x</Objs>",
            "#<",
        ] {
            for bytes in [1, 3, 100] {
                assert_eq!(decoded(text, bytes), text, "pieces of {bytes}");
            }
        }
    }

    #[test]
    fn records_within_records_end_nothing() {
        let information = "<Obj S=\"information\" RefId=\"0\"><Props><Obj N=\"MessageData\" RefId=\"1\"><Nil />\
            <S N=\"Message\">x</S></Obj><S N=\"Source\">Write-Host</S></Props></Obj><Nil/>";
        let document = DOCUMENT.replace("<S S=\"warning\">", &format!("{information}<S S=\"warning\">"));
        for bytes in [1, 5, 10_000] {
            assert_eq!(decoded(&document, bytes), SHOWN, "pieces of {bytes}");
        }
    }

    #[test]
    fn small_pieces_cost_little() {
        let begun = Instant::now();
        let long = format!("#< CLIXML\r\n<Objs><S S=\"Error\">{}</S></Objs>", "x".repeat(MOST_BYTES - 100));
        assert_eq!(decoded(&long, 1).len(), MOST_BYTES - 100);
        let lines = "\n".repeat(4 * MOST_BYTES);
        assert_eq!(decoded(&lines, lines.len()), lines);
        for endless in ["#< CLIXML\n<Objs ", "#< CLIXML\n<Objs><"] {
            let endless = format!("{endless}{}", "x".repeat(MOST_BYTES));
            assert!(decoded(&endless, 1).len() >= MOST_BYTES);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn an_endless_record_is_let_go() {
        let endless = format!("#< CLIXML\r\n<Objs><S S=\"Error\">{}", "x".repeat(3 * MOST_BYTES));
        let mut clixml = Clixml::default();
        let mut shown = 0;
        for piece in endless.as_bytes().chunks(1000) {
            shown += clixml.push(piece).len();
            assert!(clixml.kept.len() <= MOST_BYTES);
        }
        assert!(shown > 2 * MOST_BYTES);
        assert_eq!(unescape("a_x000_b_x00e9__xZZZZ_"), "a_x000_bé_xZZZZ_");
    }
}
