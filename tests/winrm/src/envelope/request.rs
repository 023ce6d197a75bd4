//! An envelope that asks.

use std::time::Duration;

use roxmltree::{Document, Node};

use super::{ADDRESSING, MICROSOFT, SOAP, WSMAN, duration};
use crate::fault::Fault;

/// What is read of an envelope.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The action; `None` for `Identify`, which has no headers.
    pub(crate) action: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) resource: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_envelope: Option<usize>,
    selectors: Vec<(String, String)>,
    options: Vec<(String, String)>,
    body: Option<Node<'a, 'a>>,
}

/// Headers that are known, by their namespace.
const KNOWN: &[(&str, &[&str])] = &[
    (ADDRESSING, &["Action", "MessageID", "To", "ReplyTo", "FaultTo", "From", "RelatesTo"]),
    (WSMAN, &["ResourceURI", "SelectorSet", "OptionSet", "OperationTimeout", "MaxEnvelopeSize", "Locale"]),
    (MICROSOFT, &["DataLocale", "SessionId", "OperationID", "SequenceId", "ActivityId"]),
];

impl<'a> Request<'a> {
    /// Reads an envelope. Options are looked for in the header, where they belong.
    pub(crate) fn read(document: &'a Document<'a>) -> Result<Self, Fault> {
        let root = document.root_element();
        if !root.has_tag_name((SOAP, "Envelope")) {
            return Err(Fault::schema("The root element is not an envelope of SOAP 1.2."));
        }
        let header = root.child(SOAP, "Header");
        for node in header.iter().flat_map(roxmltree::Node::children).filter(Node::is_element) {
            let name = node.tag_name();
            let known = KNOWN.iter().any(|(namespace, names)| {
                name.namespace() == Some(namespace) && names.contains(&name.name())
            });
            if !known && node.attribute((SOAP, "mustUnderstand")).is_some_and(truth) {
                return Err(Fault::must_understand(name.name()));
            }
        }
        let text = |namespace, name| header.and_then(|header| header.child(namespace, name)).map(content);
        let pairs = |set, item| -> Vec<(String, String)> {
            let set = header.and_then(|header| header.child(WSMAN, set));
            let items = set.into_iter().flat_map(|set| set.children());
            items
                .filter(|node| node.has_tag_name((WSMAN, item)))
                .map(|node| (node.attribute("Name").unwrap_or_default().to_owned(), content(node)))
                .collect()
        };
        let timeout = text(WSMAN, "OperationTimeout")
            .map(|text| {
                duration::parse(&text).ok_or_else(|| Fault::schema("OperationTimeout is no duration."))
            })
            .transpose()?;
        let max_envelope = text(WSMAN, "MaxEnvelopeSize")
            .map(|text| text.parse().map_err(|_| Fault::schema("MaxEnvelopeSize is no number.")))
            .transpose()?;
        Ok(Self {
            action: text(ADDRESSING, "Action"),
            message_id: text(ADDRESSING, "MessageID"),
            resource: text(WSMAN, "ResourceURI").unwrap_or_default(),
            timeout,
            max_envelope,
            selectors: pairs("SelectorSet", "Selector"),
            options: pairs("OptionSet", "Option"),
            body: root.child(SOAP, "Body"),
        })
    }

    /// The selector that says which shell.
    pub(crate) fn shell_id(&self) -> Result<&str, Fault> {
        let shell =
            self.selectors.iter().find(|(name, _)| name == "ShellId").map(|(_, value)| value.as_str());
        shell.ok_or_else(|| Fault::no_shell(""))
    }

    /// An option that is yes or no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.option(name).is_some_and(truth)
    }

    /// An option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Refuses options that are not among these.
    pub(crate) fn options_among(&self, known: &[&str]) -> Result<(), Fault> {
        let unknown =
            self.options.iter().find(|(name, _)| !known.iter().any(|known| known.eq_ignore_ascii_case(name)));
        unknown.map_or(Ok(()), |(name, _)| Err(Fault::no_option(name)))
    }

    /// The element of the body, if it is there.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Node<'a, 'a>> {
        self.body.and_then(|body| body.child(namespace, name))
    }

    /// The element of the body.
    pub(crate) fn element(&self, namespace: &str, name: &str) -> Result<Node<'a, 'a>, Fault> {
        self.find(namespace, name).ok_or_else(|| Fault::schema(format!("The body has no element {name}.")))
    }
}

/// What is below an element.
pub(crate) trait Child<'a> {
    /// The child of this name.
    fn child(&self, namespace: &str, name: &str) -> Option<Node<'a, 'a>>;
    /// The text of the child of this name.
    fn text_of(&self, namespace: &str, name: &str) -> Option<String>;
    /// The duration that the child of this name tells.
    fn duration_of(&self, namespace: &str, name: &str) -> Result<Option<Duration>, Fault>;
    /// An attribute that is yes or no.
    fn flag(&self, name: &str) -> bool;
}

impl<'a> Child<'a> for Node<'a, 'a> {
    fn child(&self, namespace: &str, name: &str) -> Option<Node<'a, 'a>> {
        self.children().find(|node| node.has_tag_name((namespace, name)))
    }

    fn text_of(&self, namespace: &str, name: &str) -> Option<String> {
        self.child(namespace, name).map(content)
    }

    fn duration_of(&self, namespace: &str, name: &str) -> Result<Option<Duration>, Fault> {
        let text = self.text_of(namespace, name);
        text.map(|text| {
            duration::parse(&text).ok_or_else(|| Fault::schema(format!("{name} is no duration.")))
        })
        .transpose()
    }

    fn flag(&self, name: &str) -> bool {
        self.attribute(name).is_some_and(truth)
    }
}

/// All text of an element.
fn content(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// Windows takes any case, though XML Schema has only the lower one.
fn truth(text: &str) -> bool {
    text.trim() == "1" || text.trim().eq_ignore_ascii_case("true")
}
