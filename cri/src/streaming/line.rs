//! The line of a terminal, kept on this side where the guest's protocol has no terminals.
//!
//! ```text
//!   keys --Line::take--> what is shown at once; each whole line to the command's input
//!   output --Screen::show--> the same with CR LF, for the client's own terminal is raw
//! ```
//!
//! - Happy path: a shell reads commands line by line; backspace, Ctrl-U and Ctrl-D do what they do on any terminal. Ctrl-C ends the
//!   command itself, for nothing in the guest can be told of it.
//! - What cannot be had: prompts of programs that ask whether they are on a terminal, passwords that are not shown, programs that
//!   take the whole screen. Keys that mean those are passed over.
//! - A line is bounded as a terminal's is; what is typed beyond that is not taken.

use bytes::Bytes;

/// The longest line, in bytes.
const LONGEST: usize = 4095;
/// What a person is told first.
pub(super) const NOTICE: &[u8] =
    b"(the guest's protocol has no terminals: lines are edited here, and Ctrl-C ends the command)\r\n";

/// What came of some keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// What the client is shown.
    pub(super) shown: Vec<u8>,
    /// What the command reads.
    pub(super) typed: Vec<u8>,
    /// What is over.
    pub(super) over: Option<Over>,
}

/// What keys have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The command's input.
    Input,
    /// The command.
    Command,
}

/// Where in a sequence of bytes that stands for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Plain,
    Escaped,
    Sequence,
}

/// A line that is being typed.
#[derive(Debug)]
pub(super) struct Line {
    text: Vec<u8>,
    key: Key,
    /// The line before ended with CR, to which a LF may belong.
    after_cr: bool,
    end: &'static [u8],
}

impl Line {
    /// A line that a guest takes for one by this end.
    pub(super) fn ending_in(end: &'static [u8]) -> Self {
        Self { text: Vec::new(), key: Key::Plain, after_cr: false, end }
    }

    /// Takes keys, up to the first that ends something.
    pub(super) fn take(&mut self, keys: &[u8]) -> Taken {
        let mut taken = Taken::default();
        for &key in keys {
            let after_cr = std::mem::take(&mut self.after_cr);
            match (self.key, key) {
                (Key::Escaped, b'[' | b'O') => self.key = Key::Sequence,
                (Key::Sequence, 0x20..=0x3f) => {}
                (Key::Escaped | Key::Sequence, _) => self.key = Key::Plain,
                (Key::Plain, 0x1b) => self.key = Key::Escaped,
                (Key::Plain, b'\n') if after_cr => {}
                (Key::Plain, b'\r' | b'\n') => {
                    self.after_cr = key == b'\r';
                    taken.shown.extend(b"\r\n");
                    taken.typed.append(&mut self.text);
                    taken.typed.extend(self.end);
                }
                (Key::Plain, 0x7f | 0x08) => taken.shown.extend(self.erase()),
                // Ctrl-U.
                (Key::Plain, 0x15) => {
                    while !self.text.is_empty() {
                        taken.shown.extend(self.erase());
                    }
                }
                // Ctrl-D.
                (Key::Plain, 0x04) if self.text.is_empty() => {
                    taken.over = Some(Over::Input);
                    return taken;
                }
                (Key::Plain, 0x04) => taken.typed.append(&mut self.text),
                // Ctrl-C.
                (Key::Plain, 0x03) => {
                    taken.shown.extend(b"^C\r\n");
                    taken.over = Some(Over::Command);
                    return taken;
                }
                (Key::Plain, b'\t' | 0x20..) if self.text.len() < LONGEST => {
                    self.text.push(key);
                    taken.shown.push(key);
                }
                (Key::Plain, _) => {}
            }
        }
        taken
    }

    /// Takes the last character away; answers how that is shown.
    fn erase(&mut self) -> &'static [u8] {
        while let Some(byte) = self.text.pop() {
            // The further bytes of a character go with its first.
            if byte & 0xc0 != 0x80 {
                return b"\x08 \x08";
            }
        }
        b""
    }
}

/// A screen on which lines end with CR LF.
#[derive(Debug, Default)]
pub(super) struct Screen {
    after_cr: bool,
}

impl Screen {
    /// Output as the screen wants it.
    pub(super) fn show(&mut self, output: &Bytes) -> Bytes {
        let mut shown = Vec::with_capacity(output.len() + output.len() / 16 + 1);
        for &byte in output {
            if byte == b'\n' && !self.after_cr {
                shown.push(b'\r');
            }
            shown.push(byte);
            self.after_cr = byte == b'\r';
        }
        shown.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &mut Line, keys: &str) -> (String, String, Option<Over>) {
        let taken = line.take(keys.as_bytes());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(taken.shown), text(taken.typed), taken.over)
    }

    #[test]
    fn a_line_is_edited_before_it_is_sent() {
        let mut line = Line::ending_in(b"\n");
        assert_eq!(take(&mut line, "lx"), ("lx".into(), String::new(), None));
        assert_eq!(
            take(&mut line, "\x7fs\r\n"),
            ("\x08 \x08s\r\n".into(), "ls\n".into(), None),
            "CR LF is one end"
        );
        assert_eq!(take(&mut line, "\n\n"), ("\r\n\r\n".into(), "\n\n".into(), None));
        assert_eq!(take(&mut line, "\x7f"), (String::new(), String::new(), None), "nothing is erased");
        // A character of several bytes is one; a cursor key is none.
        assert_eq!(take(&mut line, "aü\x08\x1b[A\x1bOP\x1b[1;5C\x01b\r").1, "ab\n");
        assert_eq!(take(&mut line, "gone\x15kept\r").1, "kept\n");
        let mut line = Line::ending_in(b"\r\n");
        assert_eq!(take(&mut line, "dir\r").1, "dir\r\n");
    }

    #[test]
    fn keys_end_the_input_and_the_command() {
        let mut line = Line::ending_in(b"\n");
        assert_eq!(take(&mut line, "a\x04"), ("a".into(), "a".into(), None), "what there is of the line");
        assert_eq!(take(&mut line, "\x04more").2, Some(Over::Input));
        assert_eq!(take(&mut line, "x\x03y"), ("x^C\r\n".into(), String::new(), Some(Over::Command)));
    }

    #[test]
    fn a_line_is_bounded() {
        let mut line = Line::ending_in(b"\n");
        let taken = line.take(&vec![b'x'; 10_000]);
        assert_eq!(taken.shown.len(), LONGEST);
        assert_eq!(line.take(b"\r").typed.len(), LONGEST + 1);
    }

    #[test]
    fn a_screen_has_its_line_ends_once() {
        let mut screen = Screen::default();
        let mut show = |text: &'static str| screen.show(&Bytes::from(text));
        assert_eq!(show("a\nb\r\nc\r"), "a\r\nb\r\nc\r");
        assert_eq!(show("\nd\n\n"), "\nd\r\n\r\n");
    }
}
