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

use bytes::Bytes;

const MARK: &[u8] = b"#< CLIXML";
const BEGIN: &[u8] = b"<Objs";
const END: &[u8] = b"</Objs>";

/// The most bytes that are kept for a record's end to come.
const MOST_BYTES: usize = 256 * 1024;

/// Decodes one stream.
#[derive(Debug, Default)]
pub(super) struct Clixml {
    /// What could not be decided yet.
    kept: Vec<u8>,
    inside: bool,
    /// Whether the XML has just ended, whose line's end is no text.
    ended: bool,
    /// Whether text stands before what is kept, on its line.
    within_line: bool,
}

impl Clixml {
    /// Takes a piece and gives what can be shown of all so far.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.kept.extend_from_slice(piece);
        let mut shown = Vec::new();
        while self.step(&mut shown) {}
        if self.kept.len() > MOST_BYTES {
            self.pass(self.kept.len(), &mut shown);
            self.inside = false;
        }
        shown.into()
    }

    /// Gives what was still kept.
    pub(super) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.kept).into()
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
        if !self.within_line && !self.kept.is_empty() {
            match begin(&self.kept) {
                Begin::At(length) => {
                    self.kept.drain(..length);
                    self.inside = true;
                    return true;
                }
                Begin::Maybe => return false,
                Begin::No => {}
            }
        }
        let line = self.kept.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let length = line.unwrap_or(self.kept.len());
        self.pass(length, shown);
        line.is_some()
    }

    fn pass(&mut self, length: usize, shown: &mut Vec<u8>) {
        if let Some(&last) = self.kept[..length].last() {
            self.within_line = last != b'\n';
        }
        shown.extend(self.kept.drain(..length));
    }

    /// One element of the XML.
    fn record(&mut self, shown: &mut Vec<u8>) -> bool {
        let Some(start) = self.kept.iter().position(|&byte| byte == b'<') else {
            self.kept.clear();
            return false;
        };
        if self.kept[start..].starts_with(END) {
            self.kept.drain(..start + END.len());
            (self.inside, self.ended, self.within_line) = (false, true, false);
            return true;
        }
        let rest = &self.kept[start..];
        if END.starts_with(rest) {
            return false;
        }
        let name: Vec<u8> = rest[1..]
            .iter()
            .copied()
            .take_while(|&byte| !byte.is_ascii_whitespace() && byte != b'>')
            .collect();
        let closing = [b"</", &name[..], b">"].concat();
        let Some(end) = find(rest, &closing).map(|at| at + closing.len()) else { return false };
        let element = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.kept.drain(..start + end);
        if let Some(line) = message(&element) {
            shown.extend_from_slice(line.as_bytes());
        }
        true
    }

    /// Takes the end of a line away, where one stands there. False when more has to come.
    fn skip_line_end(&mut self) -> bool {
        let length = match self.kept.as_slice() {
            [] | [b'\r'] => return false,
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
        self.kept.drain(..length);
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
    match root.iter().position(|&byte| byte == b'>') {
        Some(at) if length == BEGIN.len() => Begin::At(mark + after + at + 1),
        _ => Begin::Maybe,
    }
}

/// What a record shows: a text with its stream's prefix. None for progress and whatever else is no message.
fn message(element: &str) -> Option<String> {
    let document = roxmltree::Document::parse(element).ok()?;
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
