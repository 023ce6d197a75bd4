//! SOAP envelopes: what is asked, and what is answered.
//!
//! A request is hostile like any other: no DTD, a bounded size (by the connection), and what is required is looked for.

mod duration;
mod names;
mod request;

pub(crate) use names::*;
pub(crate) use request::{Child, Request};

use std::borrow::Cow;

use rand::Rng as _;

/// An envelope that answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its action.
    pub(crate) action: String,
    /// What is in its body, as XML.
    pub(crate) body: String,
}

impl Answer {
    /// The answer to a request.
    pub(crate) fn new(action: impl Into<String>, body: impl Into<String>) -> Self {
        Self { action: action.into(), body: body.into() }
    }

    /// Writes it as Windows does, with its prefixes.
    pub(crate) fn write(&self, relates_to: Option<&str>) -> String {
        let relates_to =
            relates_to.map(|id| format!("<a:RelatesTo>{}</a:RelatesTo>", escape(id))).unwrap_or_default();
        format!(
            "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:x=\"{TRANSFER}\" \
             xmlns:w=\"{WSMAN}\" xmlns:rsp=\"{SHELL}\" xmlns:p=\"{MICROSOFT}\"><s:Header><a:Action>{}</a:Action>\
             <a:MessageID>uuid:{}</a:MessageID><a:To>{ADDRESSING}/role/anonymous</a:To>{relates_to}</s:Header>\
             <s:Body>{}</s:Body></s:Envelope>",
            self.action,
            guid(),
            self.body
        )
    }
}

/// The least of a text that is long, in bytes.
const LONG: usize = 16 * 1024;

/// An envelope without the first long text in it, and that text. It is what a process reads, as base64, which is looked at when
/// that is decoded; read as XML, each of its bytes would cost more than all else that is done with it.
pub(crate) fn without_long_text(envelope: &str) -> (Cow<'_, str>, &str) {
    let mut begin = 0;
    // Text goes from one sign of a tag to the next.
    for (end, _) in envelope.match_indices('<') {
        let text = envelope[begin..end].rfind('>').map_or(begin, |tag| begin + tag + 1);
        if end - text >= LONG {
            let short = [&envelope[..text], &envelope[end..]].concat();
            return (Cow::Owned(short), &envelope[text..end]);
        }
        begin = end;
    }
    (Cow::Borrowed(envelope), "")
}

/// Text as XML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A new random GUID, in upper case as Windows writes them.
pub(crate) fn guid() -> String {
    let [a, b] = rand::rng().random::<[u64; 2]>();
    format!(
        "{:08X}-{:04X}-4{:03X}-{:04X}-{:012X}",
        a >> 32,
        (a >> 16) & 0xFFFF,
        a & 0xFFF,
        0x8000 | ((b >> 48) & 0x3FFF),
        b & 0xFFFF_FFFF_FFFF
    )
}
