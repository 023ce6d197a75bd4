//! A line of a CRI log: `2026-01-02T03:04:05.678901234Z stdout F text`.

/// Which stream it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

impl Stream {
    /// Its name in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine {
    /// When, as RFC 3339.
    pub(super) time: String,
    /// Where to.
    pub(super) stream: Stream,
    /// Whether the next line goes on with this one.
    pub(super) partial: bool,
    /// The text, without an end of line.
    pub(super) text: Vec<u8>,
}

impl LogLine {
    /// Parses a line without its end; nothing where it is no line of such a log.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        time.parse::<jiff::Timestamp>().ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Further tags may follow the first, after colons.
        let partial = match parts.next()?.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        let text = parts.next().unwrap_or_default().to_owned();
        Some(Self { time: time.to_owned(), stream, partial, text })
    }

    /// The text as it was written.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut text = self.text.clone();
        if !self.partial {
            text.push(b'\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<LogLine> {
        LogLine::parse(line.as_bytes())
    }

    #[test]
    fn whole_lines_and_parts() {
        let line = parse("2026-01-02T03:04:05.678901234Z stdout F a  b ").unwrap();
        assert_eq!((line.stream, line.partial, line.text.as_slice()), (Stream::Stdout, false, &b"a  b "[..]));
        assert_eq!(line.written(), b"a  b \n");
        let part = parse("2026-01-02T03:04:05+01:00 stderr P a").unwrap();
        assert_eq!((part.stream, part.partial), (Stream::Stderr, true));
        assert_eq!(part.written(), b"a");
    }

    #[test]
    fn empty_text_and_further_tags() {
        assert_eq!(parse("2026-01-02T03:04:05Z stdout F").unwrap().written(), b"\n");
        assert_eq!(parse("2026-01-02T03:04:05Z stdout F ").unwrap().written(), b"\n");
        assert!(parse("2026-01-02T03:04:05Z stdout P:x text").unwrap().partial);
    }

    #[test]
    fn bytes_need_not_be_text() {
        let line = LogLine::parse(b"2026-01-02T03:04:05Z stdout F \xff\xfe").unwrap();
        assert_eq!(line.text, b"\xff\xfe");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for line in [
            "",
            "hello",
            "today stdout F x",
            "2026-01-02T03:04:05Z stdin F x",
            "2026-01-02T03:04:05Z stdout X x",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
