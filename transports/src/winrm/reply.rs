//! The answers, read within bounds: what a guest says is never trusted to be well formed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use roxmltree::{Document, Node};

use super::fault::Fault;
use super::xml;
use crate::{Output, Stream};

/// The most characters of an identifier; those of Windows have 36.
const IDENTIFIER_MAX_CHARS: usize = 64;

/// What a guest said to a request for output.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) output: Vec<Output>,
    /// How many of its streams have ended with this.
    pub(super) ended: usize,
    /// Whether the command has ended.
    pub(super) done: bool,
    /// Its exit code, as the bits of the guest's 32-bit unsigned one.
    pub(super) code: Option<i32>,
}

/// An answer that cannot be understood, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

fn parse(body: &str) -> Result<Document<'_>, Malformed> {
    xml::parse(body).map_err(|why| Malformed(format!("its answer is no XML: {why}")))
}

/// The first element of this name, whatever its namespace's prefix is.
fn element<'a, 'i>(document: &'a Document<'i>, name: &str) -> Option<Node<'a, 'i>> {
    document.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

fn text<'a>(document: &'a Document<'_>, name: &str) -> Option<&'a str> {
    element(document, name).and_then(|node| node.text()).map(str::trim)
}

/// The shell that was made: the guest may have chosen another name than ours.
pub(super) fn shell(body: &str) -> Result<String, Malformed> {
    let document = parse(body)?;
    let selector = document
        .descendants()
        .find(|node| node.tag_name().name() == "Selector" && node.attribute("Name") == Some("ShellId"));
    let id = selector.and_then(|node| node.text()).map(str::trim).or_else(|| text(&document, "ShellId"));
    id.and_then(identifier).ok_or_else(|| Malformed("it does not name the shell that it made".into()))
}

/// The command that was started.
pub(super) fn command(body: &str) -> Result<String, Malformed> {
    let document = parse(body)?;
    let id = text(&document, "CommandId").and_then(identifier);
    id.ok_or_else(|| Malformed("it does not name the command that it started".into()))
}

/// An identifier as it is, where it is one.
fn identifier(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:{}".contains(c);
    let fits = !id.is_empty() && id.len() <= IDENTIFIER_MAX_CHARS && id.chars().all(plain);
    fits.then(|| id.to_owned())
}

/// A command's output, and its end.
pub(super) fn received(body: &str) -> Result<Received, Malformed> {
    let document = parse(body)?;
    let mut received = Received::default();
    for node in document.descendants().filter(Node::is_element) {
        match node.tag_name().name() {
            "Stream" => {
                let stream = match node.attribute("Name") {
                    Some("stdout") => Stream::Stdout,
                    Some("stderr") => Stream::Stderr,
                    _ => continue,
                };
                let data = decode(node.text().unwrap_or_default())?;
                let end = node.attribute("End").unwrap_or_default();
                received.ended += usize::from(end.eq_ignore_ascii_case("true") || end == "1");
                if !data.is_empty() {
                    received.output.push(Output { stream, data });
                }
            }
            "CommandState" => {
                received.done |= node.attribute("State").is_some_and(|state| state.ends_with("/Done"));
            }
            "ExitCode" => {
                let told = node.text().unwrap_or_default().trim();
                // Unsigned by the protocol; some servers write it signed.
                let code = told.parse::<u32>().map(u32::cast_signed).or_else(|_| told.parse::<i32>());
                received.code = Some(code.map_err(|_| Malformed("its exit code is no number".into()))?);
            }
            _ => {}
        }
    }
    Ok(received)
}

fn decode(text: &str) -> Result<Bytes, Malformed> {
    let decoded = STANDARD.decode(text.trim()).or_else(|_| {
        let dense: String = text.split_ascii_whitespace().collect();
        STANDARD.decode(dense)
    });
    decoded.map(Bytes::from).map_err(|_| Malformed("its output is no base64".into()))
}

/// Who answers, for people: vendor and version.
pub(super) fn identity(body: &str) -> Result<String, Malformed> {
    let document = parse(body)?;
    element(&document, "IdentifyResponse").ok_or_else(|| Malformed("it does not say who it is".into()))?;
    let words = ["ProductVendor", "ProductVersion"].map(|name| text(&document, name).unwrap_or_default());
    Ok(words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect())
}

/// The longest message that the service takes, in bytes, by its settings.
pub(super) fn most_bytes(body: &str) -> Option<usize> {
    let document = parse(body).ok()?;
    text(&document, "MaxEnvelopeSizekb")?.parse::<usize>().ok()?.checked_mul(1024)
}

/// Whether the answer is a fault, by nothing but itself.
pub(super) fn is_fault(body: &str) -> bool {
    // Output is long, and chance seldom writes this word into it: nearly no answer is read twice.
    body.contains("Fault")
        && parse(body).is_ok_and(|document| {
            let named = |node: &Node<'_, '_>, name| node.tag_name().name() == name;
            let body = document.root_element().children().find(|node| named(node, "Body"));
            body.is_some_and(|body| body.children().any(|node| named(&node, "Fault")))
        })
}

/// What went wrong, by the guest's own words.
pub(super) fn fault(body: &str) -> Result<Fault, Malformed> {
    let document = parse(body)?;
    let fault = element(&document, "Fault").ok_or_else(|| Malformed("it answers with an error".into()))?;
    let code = document
        .descendants()
        .find(|node| node.tag_name().name() == "WSManFault")
        .and_then(|node| node.attribute("Code"))
        // Some quotas are told as errors of WMI.
        .or_else(|| text(&document, "error_Code"))
        .and_then(|code| code.trim().parse().ok());
    let kind = fault
        .descendants()
        .find(|node| node.tag_name().name() == "Subcode")
        .and_then(|node| node.descendants().find(|inner| inner.tag_name().name() == "Value"))
        .and_then(|node| node.text())
        .and_then(|value| value.trim().rsplit(':').next())
        .unwrap_or_default();
    // The message in the detail says more than the reason, where there is one; it may hold elements of its own.
    let said = ["Message", "Text"].into_iter().find_map(|name| {
        let node = element(&document, name)?;
        let words: String =
            node.descendants().filter(Node::is_text).filter_map(|inner| inner.text()).collect();
        Some(words).filter(|words| !words.trim().is_empty())
    });
    let kind = kind.chars().filter(char::is_ascii_alphanumeric).take(IDENTIFIER_MAX_CHARS).collect();
    Ok(Fault::new(code, kind, &said.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
