//! A line of the CRI log format: `<RFC3339Nano> stdout|stderr F|P <text>\n`.
//!
//! The guest and the console are `stdout`. What Infranetes itself has to say (a place lost, a switch of source) is
//! `stderr`, so it can be told from the guest's words: by a reader, and by [`super::surplus`].

use std::time::SystemTime;

/// The longest text of one line in bytes; a longer one is written in parts.
pub(super) const MAX_TEXT_BYTES: usize = guests::log::MAX_TEXT_BYTES;

/// Whose words a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The guest's or the console's: `stdout`.
    Guest,
    /// Ours: `stderr`.
    Ours,
}

/// One line, ready to be written. The text holds no line feed; one in it becomes a space.
pub fn line(at: SystemTime, voice: Voice, partial: bool, text: &[u8]) -> Vec<u8> {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let stream = match voice {
        Voice::Guest => "stdout",
        Voice::Ours => "stderr",
    };
    let tag = if partial { 'P' } else { 'F' };
    let mut line = format!("{at:.9} {stream} {tag} ").into_bytes();
    line.extend(text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    line.push(b'\n');
    line
}

/// What a written line holds: the text and whether it is a part; `None` for ours and for what is no such line.
pub(super) fn guest_text(line: &[u8]) -> Option<(&[u8], bool)> {
    let line = line.strip_suffix(b"\n")?;
    let mut fields = line.splitn(4, |byte| *byte == b' ').skip(1);
    let (stream, tag, text) = (fields.next()?, fields.next()?, fields.next()?);
    (stream == b"stdout").then_some((text, tag == b"P"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_what_the_kubelet_reads() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_042);
        let written = line(at, Voice::Guest, false, b"a  b");
        assert_eq!(written, b"2023-11-14T22:13:20.000000042Z stdout F a  b\n");
        assert_eq!(guest_text(&written), Some((&b"a  b"[..], false)));
        let part = line(at, Voice::Guest, true, b"");
        assert_eq!(guest_text(&part), Some((&b""[..], true)));
        assert_eq!(guest_text(&line(at, Voice::Ours, false, b"x")), None);
    }
}
