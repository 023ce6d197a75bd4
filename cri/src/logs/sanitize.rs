//! The serial console as lines of plain text.
//!
//! ```text
//!   Text --ESC--> Escape --[--> Csi --final--> Text
//!                    |---]PX^_--> Control string --BEL, ESC \, line feed, too long--> Text
//! ```
//!
//! Escape sequences and control characters are left out, so nothing that a guest prints can move a reader's cursor,
//! rename a window or hide a line. What comes out is UTF-8 without control characters but the tab; bytes that are no
//! UTF-8, and characters that turn the direction of the text, become U+FFFD. A carriage return ends a line as a line
//! feed does, both together end one: each state of a progress line is a line of its own.
//!
//! The result depends on the bytes alone, not on how they are cut into pieces: that is what lets a restarted reader
//! find its place again.

use std::mem;

use super::format::MAX_TEXT_BYTES;

/// The longest escape sequence or control string in bytes; a longer one is no such thing.
const MAX_SEQUENCE: usize = 4096;

/// A line of the console, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text, at most 16 KiB.
    pub text: String,
    /// Whether the line goes on.
    pub partial: bool,
    /// How many bytes had been read when it was complete, where reading may begin anew right there; `None` where a
    /// part of what was read is still kept.
    pub resume: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// `ESC (` and the like: one more byte.
    Charset,
    Csi(usize),
    /// An operating system command or another control string, and whether an ESC was seen in it.
    ControlString(usize, bool),
}

/// Turns the bytes of a console into lines. Keeps at most one line.
#[derive(Debug)]
pub struct Sanitizer {
    state: State,
    line: String,
    /// A character that is not complete.
    character: Vec<u8>,
    /// A carriage return was seen, and what follows it was not.
    returned: bool,
    /// The line has been told in part.
    within: bool,
    read: u64,
}

impl Sanitizer {
    /// Begins at a clean place: `offset` bytes have been read before.
    pub fn new(offset: u64) -> Self {
        Self {
            state: State::Text,
            line: String::new(),
            character: Vec::new(),
            returned: false,
            within: false,
            read: offset,
        }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.read
    }

    /// `count` bytes are gone from the console: they are counted and not seen.
    pub fn skip(&mut self, count: u64) {
        self.read += count;
    }

    /// Takes a piece and adds its lines to `lines`.
    pub fn feed(&mut self, data: &[u8], lines: &mut Vec<Line>) {
        for byte in data {
            self.step(*byte, lines);
            self.read += 1;
        }
    }

    /// The line so far, as a part. What follows goes on with it.
    pub fn unfinished(&mut self) -> Option<Line> {
        (!self.line.is_empty()).then(|| {
            self.within = true;
            Line { text: mem::take(&mut self.line), partial: true, resume: None }
        })
    }

    /// Nothing follows: the line so far is the last.
    pub fn finish(&mut self, lines: &mut Vec<Line>) {
        self.flush_character(lines);
        if !self.line.is_empty() || self.within {
            self.end_line(lines, false);
        }
    }

    fn step(&mut self, byte: u8, lines: &mut Vec<Line>) {
        // A line end ends everything: a guest can't hide the rest of its console in an open sequence.
        if byte == b'\n' {
            self.flush_character(lines);
            self.state = State::Text;
            self.returned = false;
            self.end_line(lines, true);
            return;
        }
        match self.state {
            State::Text => self.text(byte, lines),
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Csi(0),
                    b']' | b'P' | b'X' | b'^' | b'_' => State::ControlString(0, false),
                    0x20..=0x2f => State::Charset,
                    0x1b => State::Escape,
                    _ => State::Text,
                };
            }
            State::Charset => {
                if !(0x20..=0x2f).contains(&byte) {
                    self.state = State::Text;
                }
            }
            State::Csi(length) => {
                self.state = match byte {
                    0x1b => State::Escape,
                    0x40..=0x7e => State::Text,
                    _ if length >= MAX_SEQUENCE => State::Text,
                    _ => State::Csi(length + 1),
                };
            }
            State::ControlString(length, escaped) => {
                self.state = match byte {
                    0x07 => State::Text,
                    b'\\' if escaped => State::Text,
                    _ if length >= MAX_SEQUENCE => State::Text,
                    _ => State::ControlString(length + 1, byte == 0x1b),
                };
            }
        }
    }

    fn text(&mut self, byte: u8, lines: &mut Vec<Line>) {
        match byte {
            0x1b => {
                self.flush_character(lines);
                self.state = State::Escape;
            }
            b'\r' => {
                self.flush_character(lines);
                self.returned = true;
            }
            b'\t' | 0x20..=0x7e => {
                self.flush_character(lines);
                self.push(char::from(byte), lines);
            }
            0x00..=0x1f | 0x7f => self.flush_character(lines),
            _ => {
                // A byte that begins a character ends the one before it.
                if byte >= 0xc0 {
                    self.flush_character(lines);
                }
                self.character.push(byte);
                match std::str::from_utf8(&self.character) {
                    Ok(whole) => {
                        let whole = whole.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                        self.character.clear();
                        self.unicode(whole, lines);
                    }
                    Err(error) if error.error_len().is_some() => self.flush_character(lines),
                    Err(_) => {}
                }
            }
        }
    }

    fn unicode(&mut self, character: char, lines: &mut Vec<Line>) {
        match character {
            '\u{9b}' => self.state = State::Csi(0),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => self.state = State::ControlString(0, false),
            '\u{80}'..='\u{9f}' => {}
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                self.push(char::REPLACEMENT_CHARACTER, lines);
            }
            other => self.push(other, lines),
        }
    }

    /// What began as a character was none.
    fn flush_character(&mut self, lines: &mut Vec<Line>) {
        if !self.character.is_empty() {
            self.character.clear();
            self.push(char::REPLACEMENT_CHARACTER, lines);
        }
    }

    fn push(&mut self, character: char, lines: &mut Vec<Line>) {
        if self.returned {
            self.returned = false;
            if !self.line.is_empty() || self.within {
                self.end_line(lines, false);
            }
        }
        if self.line.len() + character.len_utf8() > MAX_TEXT_BYTES {
            self.within = true;
            lines.push(Line { text: mem::take(&mut self.line), partial: true, resume: None });
        }
        self.line.push(character);
    }

    fn end_line(&mut self, lines: &mut Vec<Line>, clean: bool) {
        self.within = false;
        // The byte that ends the line is not counted yet.
        let resume = clean.then_some(self.read + 1);
        lines.push(Line { text: mem::take(&mut self.line), partial: false, resume });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let mut sanitizer = Sanitizer::new(0);
        let mut lines = Vec::new();
        for piece in pieces {
            sanitizer.feed(piece, &mut lines);
        }
        sanitizer.finish(&mut lines);
        lines
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        lines(&[bytes]).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn escapes_and_controls_are_left_out() {
        assert_eq!(texts(b"\x1b[2J\x1b[01;32m[  OK  ]\x1b[0m Started\r\n"), ["[  OK  ] Started"]);
        assert_eq!(texts(b"a\x1b]0;title\x07b\x1b]52;c;aGk=\x1b\\c\x1bPq\x1b\\d\x1b(Be\n"), ["abcde"]);
        assert_eq!(texts(b"\0\0a\x08\x7f\x9b\xc2\x9b31mb\tc\n"), ["a\u{fffd}b\tc"]);
        assert_eq!(texts(b"hidden\x1b]0;never ended\nseen\n"), ["hidden", "seen"]);
        assert_eq!(
            texts("gr\u{fc}\u{df}e \u{202e}txt\u{200b}".as_bytes()),
            ["gr\u{fc}\u{df}e \u{fffd}txt\u{200b}"]
        );
    }

    #[test]
    fn line_ends() {
        assert_eq!(texts(b"a\r\n\r\nb\r\r\nc\n\nd"), ["a", "", "b", "c", "", "d"]);
        assert_eq!(texts(b"10%\r20%\r\r30%\r\ndone\n"), ["10%", "20%", "30%", "done"]);
    }

    #[test]
    fn long_lines_come_in_parts() {
        let long = "\u{e9}".repeat(20_000);
        let lines = lines(&[long.as_bytes(), b"\n"]);
        assert!(lines.iter().all(|line| line.text.len() <= MAX_TEXT_BYTES));
        assert_eq!(lines.iter().map(|line| line.partial).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<String>(), long);
        assert_eq!(lines.last().unwrap().resume, Some(40_001));
    }

    /// Bytes that are likely to be a sequence's beginning, end or middle.
    fn hostile(random: &mut impl Rng) -> Vec<u8> {
        let pieces: [&[u8]; 16] = [
            b"\x1b",
            b"[",
            b"]",
            b"\x07",
            b"\x1b\\",
            b"\r",
            b"\n",
            b"\xc2\x9b",
            b"\xe2\x80\xae",
            b"\xf0\x9f",
            b"m",
            b"\xff",
            b"text",
            b"\0",
            b"P",
            b"\x9c",
        ];
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(0..200) {
            if random.random_bool(0.8) {
                bytes.extend_from_slice(pieces[random.random_range(0..pieces.len())]);
            } else {
                bytes.push(random.random());
            }
        }
        bytes
    }

    #[test]
    fn whatever_comes_is_plain_and_does_not_depend_on_its_cuts() {
        let mut random = rand::rng();
        for _ in 0..3000 {
            let bytes = hostile(&mut random);
            let whole = lines(&[&bytes]);
            for line in &whole {
                let plain = |c: char| c == '\t' || !c.is_control();
                assert!(line.text.chars().all(plain), "{:?} from {bytes:?}", line.text);
                // A line that says where to resume can be resumed there.
                if let Some(at) = line.resume {
                    let at = usize::try_from(at).unwrap();
                    let before = lines(&[&bytes[..at]]).len();
                    let rest: Vec<_> = texts(&bytes[at..]);
                    assert_eq!(
                        rest,
                        whole[before..].iter().map(|line| line.text.clone()).collect::<Vec<_>>()
                    );
                }
            }
            let mut cuts = [0; 3].map(|_: usize| random.random_range(0..=bytes.len()));
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            assert_eq!(lines(&[&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]]), whole, "{bytes:?}");
        }
    }
}
