//! A line of the CRI log format: `<RFC3339Nano> stdout|stderr F|P <text>\n`.
//!
//! A machine's guest and its console are `stdout`. What Infranetes itself has to say (a place lost, a switch of source)
//! is `stderr`, so it can be told from the guest's words: by a reader, and by [`super::surplus`]. A process in the guest
//! has both streams for itself.

use std::time::SystemTime;

/// The longest text of one line in bytes; a longer one is written in parts.
pub(super) const MAX_TEXT_BYTES: usize = guests::log::MAX_TEXT_BYTES;

/// Whose words a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The guest's or the console's, or a process's standard output: `stdout`.
    Guest,
    /// A process's standard error: `stderr`.
    GuestError,
    /// Ours: `stderr`.
    Ours,
}

/// One line, ready to be written. The text holds no line feed; one in it becomes a space.
pub fn line(at: SystemTime, voice: Voice, partial: bool, text: &[u8]) -> Vec<u8> {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let stream = match voice {
        Voice::Guest => "stdout",
        Voice::GuestError | Voice::Ours => "stderr",
    };
    let tag = if partial { 'P' } else { 'F' };
    let mut line = format!("{at:.9} {stream} {tag} ").into_bytes();
    line.extend(text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    line.push(b'\n');
    line
}

/// What a written line holds: the stream (0 for `stdout`, 1 for `stderr`), the text, and whether it is a part; `None` for
/// what is no such line.
pub(super) fn parts(line: &[u8]) -> Option<(usize, &[u8], bool)> {
    let line = line.strip_suffix(b"\n")?;
    let mut fields = line.splitn(4, |byte| *byte == b' ').skip(1);
    let (stream, tag, text) = (fields.next()?, fields.next()?, fields.next()?);
    Some((usize::from(stream == b"stderr"), text, tag == b"P"))
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
        assert_eq!(parts(&written), Some((0, &b"a  b"[..], false)));
        let part = line(at, Voice::Guest, true, b"");
        assert_eq!(parts(&part), Some((0, &b""[..], true)));
        assert_eq!(parts(&line(at, Voice::Ours, false, b"x")), Some((1, &b"x"[..], false)));
        assert_eq!(parts(b"half"), None);
    }
}
