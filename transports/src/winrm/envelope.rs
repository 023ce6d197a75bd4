//! The requests, as text: WS-Management's envelope with the actions of a remote shell (MS-WSMV 3.1.4).
//!
//! Every value is escaped where it is written. What XML cannot carry at all (control characters but tab and line
//! breaks) is refused before, by [`unsuitable`]. The identifiers of shells and commands are chosen here, so that one
//! whose answer is lost can still be ended.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::options::Interpreter;

const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
const CONFIGURATION: &str = "http://schemas.microsoft.com/wbem/wsman/1/config";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ACTIONS: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";

/// The question who answers there; it asks for nothing and changes nothing.
pub(super) const IDENTIFY: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
     xmlns:wsmid=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"><s:Header/><s:Body>\
     <wsmid:Identify/></s:Body></s:Envelope>";

/// What the requests of a session have in common.
#[derive(Debug, Clone)]
pub(super) struct Envelopes {
    /// Where they go, as a URL.
    pub(super) url: String,
    /// How long an operation may wait in the guest before it answers that nothing has happened.
    pub(super) operation_timeout: Duration,
    /// The longest answer that is asked for, in bytes.
    pub(super) most_bytes: usize,
}

impl Envelopes {
    /// Makes a shell of this name, which ends by itself when nobody asks for it for so long.
    pub(super) fn create(&self, shell: &str, idle: Duration) -> String {
        let options = [("WINRS_NOPROFILE", "FALSE"), ("WINRS_CODEPAGE", "65001")];
        let body = format!(
            "<rsp:Shell ShellId=\"{shell}\"><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout \
             stderr</rsp:OutputStreams><rsp:IdleTimeOut>PT{}.000S</rsp:IdleTimeOut></rsp:Shell>",
            idle.as_secs()
        );
        self.envelope(&format!("{TRANSFER}/Create"), None, &options, &body)
    }

    /// Runs a program in a shell, or a line that its interpreter takes apart.
    pub(super) fn command(
        &self,
        shell: &str,
        command: &str,
        interpreter: Interpreter,
        (program, arguments): &(String, String),
    ) -> String {
        let direct = match interpreter {
            Interpreter::Cmd => "FALSE",
            Interpreter::None => "TRUE",
        };
        let options = [("WINRS_CONSOLEMODE_STDIN", "FALSE"), ("WINRS_SKIP_CMD_SHELL", direct)];
        let arguments = match arguments.as_str() {
            "" => String::new(),
            some => format!("<rsp:Arguments>{}</rsp:Arguments>", escape(some)),
        };
        let body = format!(
            "<rsp:CommandLine CommandId=\"{command}\"><rsp:Command>{}</rsp:Command>{arguments}</rsp:CommandLine>",
            escape(program)
        );
        self.envelope(&format!("{ACTIONS}/Command"), Some(shell), &options, &body)
    }

    /// Asks for a command's output; the answer waits until there is some.
    pub(super) fn receive(&self, shell: &str, command: &str) -> String {
        let body = format!(
            "<rsp:Receive><rsp:DesiredStream CommandId=\"{}\">stdout stderr</rsp:DesiredStream></rsp:Receive>",
            escape(command)
        );
        self.envelope(&format!("{ACTIONS}/Receive"), Some(shell), &[], &body)
    }

    /// Gives a command standard input, the last of it or not.
    pub(super) fn send(&self, shell: &str, command: &str, data: &[u8], last: bool) -> String {
        let end = if last { " End=\"TRUE\"" } else { "" };
        let body = format!(
            "<rsp:Send><rsp:Stream Name=\"stdin\" CommandId=\"{}\"{end}>{}</rsp:Stream></rsp:Send>",
            escape(command),
            STANDARD.encode(data)
        );
        self.envelope(&format!("{ACTIONS}/Send"), Some(shell), &[], &body)
    }

    /// Ends a command, and lets the guest forget it.
    pub(super) fn terminate(&self, shell: &str, command: &str) -> String {
        let body = format!(
            "<rsp:Signal CommandId=\"{}\"><rsp:Code>{ACTIONS}/signal/terminate</rsp:Code></rsp:Signal>",
            escape(command)
        );
        self.envelope(&format!("{ACTIONS}/Signal"), Some(shell), &[], &body)
    }

    /// Ends a shell with everything that runs in it.
    pub(super) fn delete(&self, shell: &str) -> String {
        self.envelope(&format!("{TRANSFER}/Delete"), Some(shell), &[], "")
    }

    /// Asks for the service's own settings, which only administrators are told.
    pub(super) fn configuration(&self) -> String {
        self.envelope_of(CONFIGURATION, &format!("{TRANSFER}/Get"), None, &[], "")
    }

    /// The most bytes of standard input that fit into one request.
    pub(super) fn input_bytes(most_bytes: usize) -> usize {
        // The rest of the envelope, with a long URL; then four characters for three bytes.
        most_bytes.saturating_sub(4096) / 4 * 3
    }

    fn envelope(&self, action: &str, shell: Option<&str>, options: &[(&str, &str)], body: &str) -> String {
        self.envelope_of(SHELL, action, shell, options, body)
    }

    fn envelope_of(
        &self,
        resource: &str,
        action: &str,
        shell: Option<&str>,
        options: &[(&str, &str)],
        body: &str,
    ) -> String {
        let selectors = shell.map_or_else(String::new, |shell| {
            format!(
                "<w:SelectorSet><w:Selector Name=\"ShellId\">{}</w:Selector></w:SelectorSet>",
                escape(shell)
            )
        });
        let mut set = String::new();
        for (name, value) in options {
            let _ = write!(set, "<w:Option Name=\"{name}\">{value}</w:Option>");
        }
        let options = if set.is_empty() { set } else { format!("<w:OptionSet>{set}</w:OptionSet>") };
        format!(
            "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
             xmlns:p=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" \
             xmlns:rsp=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell\"><s:Header><a:To>{}</a:To>\
             <w:ResourceURI s:mustUnderstand=\"true\">{resource}</w:ResourceURI><a:ReplyTo>\
             <a:Address s:mustUnderstand=\"true\">{ANONYMOUS}</a:Address></a:ReplyTo>\
             <a:Action s:mustUnderstand=\"true\">{action}</a:Action>\
             <w:MaxEnvelopeSize s:mustUnderstand=\"true\">{}</w:MaxEnvelopeSize><a:MessageID>uuid:{}</a:MessageID>\
             <w:Locale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
             <p:DataLocale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
             <w:OperationTimeout>PT{}.{:03}S</w:OperationTimeout>{selectors}{options}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>",
            escape(&self.url),
            self.most_bytes,
            identifier(),
            self.operation_timeout.as_secs(),
            self.operation_timeout.subsec_millis(),
        )
    }
}

/// A new identifier (a random UUID), as Windows writes them.
pub(super) fn identifier() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode_upper(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The first character of a text that XML cannot carry, if there is any.
pub(super) fn unsuitable(text: &str) -> Option<char> {
    text.chars()
        .find(|&c| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// A text within XML. Line breaks and tabs are written by number, for readers may change them otherwise.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelopes() -> Envelopes {
        Envelopes {
            url: "https://10.0.0.7:5986/wsman?a&b".into(),
            operation_timeout: Duration::from_millis(20_500),
            most_bytes: 153_600,
        }
    }

    /// The text of an element, by its local name.
    fn text(envelope: &str, name: &str) -> Option<String> {
        let document = roxmltree::Document::parse(envelope).unwrap();
        let node =
            document.descendants().find(|node| node.has_tag_name(name) || node.tag_name().name() == name);
        node.map(|node| node.text().unwrap_or_default().to_owned())
    }

    #[test]
    fn every_request_is_well_formed_and_says_what_it_is() {
        let envelopes = envelopes();
        for (envelope, action) in [
            (envelopes.create("S", Duration::from_secs(180)), "Create"),
            (envelopes.command("S", "C", Interpreter::Cmd, &("x".into(), String::new())), "Command"),
            (envelopes.receive("S", "C"), "Receive"),
            (envelopes.send("S", "C", b"x", false), "Send"),
            (envelopes.terminate("S", "C"), "Signal"),
            (envelopes.delete("S"), "Delete"),
        ] {
            assert!(text(&envelope, "Action").unwrap().ends_with(&format!("/{action}")), "{envelope}");
            assert_eq!(text(&envelope, "To").unwrap(), "https://10.0.0.7:5986/wsman?a&b");
            assert_eq!(text(&envelope, "OperationTimeout").unwrap(), "PT20.500S");
            assert_eq!(text(&envelope, "MaxEnvelopeSize").unwrap(), "153600");
            assert_eq!(text(&envelope, "Selector").is_some(), action != "Create");
        }
        assert!(roxmltree::Document::parse(IDENTIFY).is_ok());
    }

    #[test]
    fn a_command_line_arrives_as_it_is() {
        let awkward = "\"a\n\tb\r\" <&> ü🦀 ]]> 'x'";
        let line = ("c:\\a b\\x.exe".to_owned(), awkward.to_owned());
        let envelope = envelopes().command("S", "C", Interpreter::None, &line);
        assert_eq!(text(&envelope, "Arguments").unwrap(), awkward);
        assert_eq!(text(&envelope, "Command").unwrap(), "c:\\a b\\x.exe");
        let document = roxmltree::Document::parse(&envelope).unwrap();
        let header = document.descendants().find(|node| node.tag_name().name() == "Header").unwrap();
        let options: Vec<_> = header
            .descendants()
            .filter(|node| node.tag_name().name() == "Option")
            .map(|node| (node.attribute("Name").unwrap(), node.text().unwrap()))
            .collect();
        assert_eq!(options, [("WINRS_CONSOLEMODE_STDIN", "FALSE"), ("WINRS_SKIP_CMD_SHELL", "TRUE")]);
        assert_eq!(unsuitable("\t\r\n ü🦀"), None);
        assert_eq!(unsuitable("a\u{1}"), Some('\u{1}'));
    }

    #[test]
    fn as_much_input_fits_as_is_said() {
        for most in [153_600, 512_000] {
            let mut envelopes = envelopes();
            envelopes.url = format!("https://{}/wsman", "x".repeat(250));
            let data = vec![7; Envelopes::input_bytes(most)];
            let length = envelopes.send(&identifier(), &identifier(), &data, true).len();
            assert!(length <= most && length + 4096 > most, "{length} of {most}");
        }
    }

    #[test]
    fn identifiers_are_random_uuids() {
        let (one, other) = (identifier(), identifier());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
    }
}
