//! Answers as real servers write them, and such that none would.

use super::*;

const NAMES: &str = "xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
    xmlns:rsp=\"http://schemas.microsoft.com/wbem/wsman/1/windows/shell\" \
    xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"";

fn envelope(body: &str) -> String {
    format!("<s:Envelope {NAMES}><s:Header/><s:Body>{body}</s:Body></s:Envelope>")
}

fn state(inner: &str) -> String {
    let uri = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done";
    envelope(&format!(
        "<rsp:ReceiveResponse><rsp:CommandState CommandId=\"C\" State=\"{uri}\">{inner}</rsp:CommandState>\
         </rsp:ReceiveResponse>"
    ))
}

#[test]
fn both_streams_come_in_order_and_apart() {
    let body = envelope(
        "<rsp:ReceiveResponse><rsp:Stream Name=\"stdout\" CommandId=\"C\">YQ==</rsp:Stream>\
         <rsp:Stream Name=\"stderr\" CommandId=\"C\"> Yg\n== </rsp:Stream>\
         <rsp:Stream Name=\"stdout\" CommandId=\"C\" End=\"true\"/>\
         <rsp:CommandState CommandId=\"C\" State=\"http://x/CommandState/Running\"/></rsp:ReceiveResponse>",
    );
    let received = received(&body).unwrap();
    let output: Vec<_> = received.output.iter().map(|output| (output.stream, output.data.as_ref())).collect();
    assert_eq!(output, [(Stream::Stdout, &b"a"[..]), (Stream::Stderr, &b"b"[..])]);
    assert!(!received.done && received.code.is_none());
}

#[test]
fn exit_codes_keep_their_32_bits() {
    for (told, code) in [
        ("0", 0),
        ("255", 255),
        ("3221225786", 0xc000_013a_u32.cast_signed()),
        ("-1073741510", -1_073_741_510),
    ] {
        let received = received(&state(&format!("<rsp:ExitCode>{told}</rsp:ExitCode>"))).unwrap();
        assert_eq!((received.done, received.code), (true, Some(code)), "{told}");
    }
    assert!(received(&state("<rsp:ExitCode>many</rsp:ExitCode>")).is_err());
    assert_eq!(received(&state("")).unwrap().code, None);
}

#[test]
fn faults_are_known_by_code_and_kind() {
    let fault = |code: &str, kind: &str, said: &str| {
        let body = envelope(&format!(
            "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:{kind}</s:Value></s:Subcode></s:Code>\
             <s:Reason><s:Text xml:lang=\"en-US\">the reason</s:Text></s:Reason><s:Detail><f:WSManFault \
             xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" Code=\"{code}\" Machine=\"m\">\
             <f:Message>{said}</f:Message></f:WSManFault></s:Detail></s:Fault>"
        ));
        super::fault(&body).unwrap()
    };
    assert!(fault("2150858793", "TimedOut", "").timed_out());
    assert!(fault("2150858843", "InvalidSelectors", "").no_shell());
    assert!(fault("2150859174", "InternalError", "").used_up());
    assert!(!fault("2150858793", "TimedOut", "").no_shell());
    assert!(fault("2150859173", "QuotaLimit", "").quota());
    assert!(fault("2147942402", "InternalError", "").no_program());
    assert_eq!(
        fault("5", "AccessDenied", " Access\n\tis denied. ").to_string(),
        "Access is denied. (0x00000005)"
    );
    assert_eq!(fault("2150858793", "TimedOut", "").to_string(), "the reason (0x80338029)");
    assert!(fault("1", "x", &"long ".repeat(1000)).to_string().len() < 400);
    assert_eq!(fault("1", &"x\n".repeat(1000), "").to_string(), "the reason (0x00000001)");
    let unspoken = envelope(&format!(
        "<s:Fault><s:Subcode><s:Value>{}</s:Value></s:Subcode></s:Fault>",
        "x\n".repeat(1000)
    ));
    assert_eq!(super::fault(&unspoken).unwrap().to_string(), "x".repeat(64));
    let wmi = envelope(
        "<s:Fault><s:Detail><p:MSFT_WmiError xmlns:p=\"x\"><p:Message>too many</p:Message>\
         <p:error_Code>2150859174</p:error_Code></p:MSFT_WmiError></s:Detail></s:Fault>",
    );
    let wmi = super::fault(&wmi).unwrap();
    assert!(wmi.used_up() && !wmi.quota());
    assert_eq!(wmi.to_string(), "too many (0x803381a6)");
    assert!(super::fault(&envelope("<html/>")).is_err());
}

#[test]
fn shells_and_commands_have_the_guests_names() {
    let created = envelope(
        "<x:ResourceCreated xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/transfer\"><w:SelectorSet>\
         <w:Selector Name=\"ShellId\">67A7</w:Selector></w:SelectorSet></x:ResourceCreated>",
    );
    assert_eq!(shell(&created).unwrap(), "67A7");
    let older = envelope("<rsp:Shell><rsp:ShellId>77B7</rsp:ShellId></rsp:Shell>");
    assert_eq!(shell(&older).unwrap(), "77B7");
    let started = envelope("<rsp:CommandResponse><rsp:CommandId>C1</rsp:CommandId></rsp:CommandResponse>");
    assert_eq!(command(&started).unwrap(), "C1");
    assert!(command(&created).is_err() && shell(&started).is_err());
    for id in ["", "a b", "a/b", "&#10;", "ü", &"x".repeat(65)] {
        assert!(command(&envelope(&format!("<rsp:CommandId>{id}</rsp:CommandId>"))).is_err(), "{id}");
    }
}

#[test]
fn a_hostile_answer_is_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
    assert!(received(bomb).is_err(), "no entities");
    assert!(received(&format!("<a>{}</a>", "<b/>".repeat(30_000))).is_err(), "no endless lists");
    assert!(received(&"<a>".repeat(3_000)).is_err());
    let deep = format!("{}{}", "<a>".repeat(19_000), "</a>".repeat(19_000));
    assert!(!received(&deep).unwrap().done, "no depth harms");
    assert!(received("").is_err() && received("<a").is_err());
    assert!(received(&envelope("<rsp:Stream Name=\"stdout\">%%%</rsp:Stream>")).is_err());
    assert!(identity(&envelope("<x/>")).is_err());
}
