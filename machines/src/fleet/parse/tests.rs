use super::*;

fn read(text: &str) -> Result<Inventory, String> {
    inventory(text, Path::new("fleet.toml")).map_err(|error| error.to_string())
}

#[test]
fn an_entry_is_read_whole() {
    let text = "
[[machine]]
name = \"web-1\"
address = \"[2001:db8::7]:2222\"
user = \"admin\"
credential = { key-file = \"/etc/infranetes/fleet.key\" }
host-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC6ns0QRd47sJZ1tlpOmXZCPRoqXGfPDlABSpMxgK2Nc\"]
labels = { rack = \"b2\" }
power-off = true
[[machine]]
name = \"db.example\"
address = \"db.example\"
";
    let inventory = read(text).unwrap();
    let [web, db] = &inventory.entries[..] else { panic!("{inventory:?}") };
    assert_eq!((web.host.as_str(), web.port, web.power_off), ("2001:db8::7", 2222, true));
    assert_eq!(web.address(), "[2001:db8::7]:2222");
    assert_eq!(web.credential, Some(Credential::KeyFile("/etc/infranetes/fleet.key".into())));
    assert_eq!((db.address().as_str(), db.power_off), ("db.example:22", false));
    assert_eq!((db.answer_within_seconds, db.os), (120, Os::Linux));
    assert_eq!(read("").unwrap().entries, []);
}

#[test]
fn a_machine_that_speaks_another_protocol_is_read_whole() {
    let winrm = |address: &str, more: &str| {
        let entry = format!(
            "[[machine]]\nname = \"win\"\naddress = \"{address}\"\ntransport = \"winrm\"\nos = \"windows\"\n{more}"
        );
        read(&entry).unwrap_or_else(|why| panic!("{why}")).entries.remove(0)
    };
    let pins = format!("certificates = [\"SHA256:{}\"]", ["AB"; 32].join(":"));
    let pinned = winrm("192.0.2.7", &format!("{pins}\nauthentication = \"ntlm\""));
    assert_eq!((pinned.port, pinned.scheme, pinned.os), (5986, Some(Scheme::Https), Os::Windows));
    assert_eq!((pinned.certificates.len(), pinned.authentication), (1, Some(Authentication::Ntlm)));
    let handed = winrm("192.0.2.7", &format!("{pins}\nauthentication = \"credssp\""));
    assert_eq!(handed.authentication.map(Authentication::word), Some("credssp"));
    for (address, more, port, scheme) in [
        ("192.0.2.7:5985", "", 5985, Scheme::Http),
        ("192.0.2.7:5985", "scheme = \"https\"", 5985, Scheme::Https),
        ("192.0.2.7:8443", "", 8443, Scheme::Https),
        ("192.0.2.7", "scheme = \"http\"", 5985, Scheme::Http),
        ("192.0.2.7:8080", "scheme = \"http\"\nauthentication = \"negotiate\"", 8080, Scheme::Http),
    ] {
        let entry = winrm(address, more);
        assert_eq!((entry.port, entry.scheme), (port, Some(scheme)), "{address} {more}");
    }
    let kerberos = "authentication = \"kerberos\"\ncredential = \"tickets\"";
    assert_eq!(winrm("win.lab.example:5985", kerberos).host_name.as_deref(), Some("win.lab.example"));
    let named = winrm("192.0.2.7", &format!("{kerberos}\nhost-name = \"win.lab.example\""));
    assert_eq!(
        (named.host_name.as_deref(), named.credential),
        (Some("win.lab.example"), Some(Credential::Tickets))
    );
    let authority = "certificate-authority = \"/etc/ca.pem\"\ncertificate-name = \"win.example\"";
    assert_eq!(winrm("192.0.2.7", authority).certificate_name.as_deref(), Some("win.example"));
}

#[test]
fn what_means_nothing_in_a_protocol_is_refused() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC6ns0QRd47sJZ1tlpOmXZCPRoqXGfPDlABSpMxgK2Nc";
    let hash = format!("SHA256:{}", "ab".repeat(32));
    let (winrm, http) = ("transport = \"winrm\"\n", "transport = \"winrm\"\nscheme = \"http\"\n");
    for (before, line, part) in [
        ("", "scheme = \"http\"", "`transport = \"winrm\"`"),
        ("", "authentication = \"basic\"", "`transport = \"winrm\"`"),
        ("", &*format!("certificates = [\"{hash}\"]"), "`transport = \"winrm\"`"),
        ("", "certificate-authority = \"/ca.pem\"", "`transport = \"winrm\"`"),
        (winrm, "scheme = \"ftp\"", "docs/fleet.md"),
        (winrm, "authentication = \"digest\"", "docs/fleet.md"),
        (winrm, "authentication = \"kerberos\"", "`host-name`"),
        (winrm, "authentication = \"kerberos\"\nhost-name = \"a/b\"", "no name of a host"),
        (winrm, "host-name = \"win.lab.example\"", "`authentication = \"kerberos\"`"),
        (winrm, "credential = \"tickets\"", "`authentication = \"kerberos\"`"),
        ("", "host-name = \"win.lab.example\"", "`transport = \"winrm\"`"),
        ("", "credential = \"tickets\"", "`transport = \"winrm\"`"),
        (winrm, "os = \"dos\"", "docs/fleet.md"),
        (winrm, "certificates = [\"SHA256:ab\"]", "64 hexadecimal digits"),
        (winrm, "certificate-authority = \"ca.pem\"", "absolute"),
        (winrm, "certificate-name = \"x\"", "`certificate-authority`"),
        (winrm, &*format!("host-keys = [\"{key}\"]"), "`certificates`"),
        (winrm, "legacy-algorithms = [\"ssh-rsa\"]", "remove it"),
        (winrm, "credential = { key-file = \"/key\" }", "`password-file`"),
        (
            winrm,
            &*format!("certificates = [\"{hash}\"]\ncertificate-authority = \"/ca.pem\""),
            "remove those, or",
        ),
        (http, &*format!("certificates = [\"{hash}\"]"), "over HTTP"),
        (http, "certificate-authority = \"/ca.pem\"", "over HTTP"),
        (http, "authentication = \"basic\"", "`negotiate`"),
    ] {
        let text = format!("[[machine]]\nname = \"a\"\naddress = \"192.0.2.1\"\n{before}{line}\n");
        let said = read(&text).unwrap_err();
        let at = text.lines().count();
        assert!(said.starts_with(&format!("fleet.toml:{at}: ")) && said.contains(part), "{line}: {said}");
    }
}

#[test]
fn each_error_names_line_and_remedy() {
    let with = |line: &str| {
        let more = if line.starts_with("address") { "" } else { "address = \"192.0.2.1\"\n" };
        read(&format!("[[machine]]\nname = \"a\"\n{more}{line}\n")).unwrap_err()
    };
    for (line, at, part) in [
        ("pasword = \"x\"", 4, "docs/fleet.md"),
        ("transport = \"telnet\"", 4, "docs/fleet.md"),
        ("credential = { password = \"x\" }", 4, "password-file"),
        ("credential = { key-file = \"key\" }", 4, "absolute"),
        ("host-keys = [\"AAAA\"]", 4, "ssh-keyscan 192.0.2.1"),
        ("answer-within-seconds = 0", 4, "1 to 86400"),
        ("address = \"192.0.2.1:x\"", 3, "`:PORT`"),
        ("address = \"300.0.2.1\"", 3, "an IP address"),
        ("address = \"127.0.0.1\"", 3, "another machine"),
        ("address = \"::ffff:127.0.0.1\"", 3, "another machine"),
        ("address = \"localhost:22\"", 3, "this node itself"),
        ("address = \"a b\"", 3, "an IP address"),
    ] {
        let said = with(line);
        assert!(said.starts_with(&format!("fleet.toml:{at}: ")) && said.contains(part), "{line}: {said}");
    }
}

#[test]
fn the_page_has_every_key() {
    let said = read("[[machine]]\nno-such-key = 1\n").unwrap_err();
    let (_, expected) = said.split_once("expected one of ").expect(&said);
    let (expected, _) = expected.split_once(';').expect(&said);
    for key in expected.split('`').skip(1).step_by(2) {
        let page = include_str!("../../../../docs/fleet.md");
        assert!(page.contains(&format!("`{key}`")), "docs/fleet.md has no {key}");
    }
}

#[test]
fn names_stand_in_image_references() {
    for good in ["a", "web-1", "web--1", "a.b_c", "0"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "Web", "-a", "a-", "a..b", "a/b", "a:1", "a b", "a.-b", &"x".repeat(64)] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn neither_a_name_nor_an_address_stands_twice() {
    let two = |name: &str, address: &str| {
        read(&format!(
            "[[machine]]\nname = \"a\"\naddress = \"192.0.2.1\"\n[[machine]]\nname = \"{name}\"\naddress = \"{address}\"\n"
        ))
    };
    assert!(two("b", "192.0.2.1:2222").is_ok());
    let said = two("a", "192.0.2.2").unwrap_err();
    assert!(said.starts_with("fleet.toml:5: ") && said.contains("another name"), "{said}");
    for same in ["192.0.2.1:22", "::ffff:192.0.2.1", "[::ffff:c000:201]:22"] {
        let said = two("b", same).unwrap_err();
        assert!(said.starts_with("fleet.toml:6: ") && said.contains("\"a\" already"), "{same}: {said}");
    }
    let said = read(
        "[[machine]]\nname = \"a\"\naddress = \"web.example\"\n[[machine]]\nname = \"b\"\naddress = \"WEB.Example\"\n",
    )
    .unwrap_err();
    assert!(said.contains("\"a\" already"), "{said}");
}
