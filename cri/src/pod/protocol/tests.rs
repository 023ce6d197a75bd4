//! What facts say of a protocol, and who may know protocols at all.

use super::*;

fn winrm() -> Facts {
    Facts { transport: Some(Named::Winrm), ..Facts::default() }
}

fn of(facts: &Facts) -> Result<Protocol, String> {
    Protocol::of(facts).map_err(|error| error.to_string())
}

#[test]
fn the_port_or_a_word_says_what_carries_it() {
    let ssh = Protocol::Ssh(Interpreter::None);
    assert_eq!(of(&Facts::default()), Ok(ssh));
    assert_eq!(ssh.port(&Facts::default()), 22);
    let (tls, sealed) = (Security::Tls, Security::SealedMessages);
    for (scheme, port, security, reached) in [
        (None, None, tls, 5986),
        (None, Some(5985), sealed, 5985),
        (None, Some(443), tls, 443),
        (Some("http"), None, sealed, 5985),
        (Some("https"), Some(5985), tls, 5985),
    ] {
        let facts = Facts { scheme: scheme.map(str::to_owned), port, ..winrm() };
        let protocol = of(&facts).unwrap();
        assert_eq!(
            (protocol, protocol.port(&facts)),
            (Protocol::Winrm(security, None, Interpreter::None), reached)
        );
        assert_eq!(protocol.shows_itself(), security == tls);
    }
    let windows = of(&Facts { os: Some(Os::Windows), ..winrm() });
    assert_eq!(windows, Ok(Protocol::Winrm(tls, None, Interpreter::Cmd)), "nothing else is known there");
    let windows = of(&Facts { os: Some(Os::Windows), ..Facts::default() });
    assert_eq!(windows, Ok(Protocol::Ssh(Interpreter::Cmd)), "whatever leads there");
    let basic = Facts { authentication: Some("basic".into()), ..winrm() };
    assert_eq!(of(&basic), Ok(Protocol::Winrm(tls, Some(Method::Basic), Interpreter::None)));
}

#[test]
fn what_does_not_go_together_is_refused_with_the_remedy() {
    let list = || vec!["SHA256:x".to_owned()];
    let http = || Facts { scheme: Some("http".into()), ..winrm() };
    for (facts, part) in [
        (Facts { scheme: Some("ftp".into()), ..winrm() }, "none of: https, http"),
        (
            Facts { authentication: Some("digest".into()), ..winrm() },
            "negotiate, ntlm, credssp, basic, kerberos",
        ),
        (Facts { host_name: Some("x".into()), ..winrm() }, "set `authentication` to kerberos"),
        (Facts { host_name: Some("x".into()), ..Facts::default() }, "set `authentication` to kerberos"),
        (Facts { credential: Some(Credential::Tickets), ..winrm() }, "tickets are what Kerberos takes"),
        #[cfg(feature = "kerberos")]
        (Facts { authentication: Some("kerberos".into()), ..winrm() }, "give that as `host-name`"),
        #[cfg(not(feature = "kerberos"))]
        (Facts { authentication: Some("kerberos".into()), ..winrm() }, "`--features kerberos`"),
        (Facts { certificates: list(), ..Facts::default() }, "set `transport` to winrm"),
        (Facts { scheme: Some("http".into()), ..Facts::default() }, "set `transport` to winrm"),
        (Facts { host_keys: list(), ..winrm() }, "give `certificates`"),
        (Facts { credential: Some(Credential::KeyFile("/k".into())), ..winrm() }, "`password-file`"),
        (Facts { certificates: list(), ..http() }, "shows no certificate"),
        (Facts { authentication: Some("basic".into()), ..http() }, "take `negotiate`"),
        (
            Facts { certificates: list(), certificate_authority: Some("/ca".into()), ..winrm() },
            "remove them, or",
        ),
        (Facts { certificate_name: Some("x".into()), ..winrm() }, "give that, too"),
    ] {
        let said = of(&facts).unwrap_err();
        assert!(said.contains(part), "{facts:?}: {said}");
    }
}

#[cfg(feature = "kerberos")]
#[test]
fn over_http_a_ticket_proves_who_a_guest_is() {
    let by_ticket = |scheme: &str| Facts {
        scheme: Some(scheme.into()),
        authentication: Some("kerberos".into()),
        host_name: Some("win.lab.example".into()),
        credential: Some(Credential::Tickets),
        ..winrm()
    };
    for (scheme, proves) in [("http", Some(Identity::TrustOnFirstUse)), ("https", None)] {
        let facts = by_ticket(scheme);
        let protocol = of(&facts).unwrap();
        assert_eq!(protocol.is_pinned(&facts), proves.is_some(), "{scheme}");
        assert_eq!(
            protocol.pinned(&facts, [192, 0, 2, 7].into()).map_err(|error| error.to_string()),
            Ok(proves)
        );
    }
}

#[test]
fn what_was_not_built_in_is_refused_with_the_remedy() {
    for scheme in ["https", "http"] {
        let authentication = Some("credssp".into());
        let said = of(&Facts { scheme: Some(scheme.into()), authentication, ..winrm() });
        if cfg!(feature = "credssp") {
            assert!(matches!(said, Ok(Protocol::Winrm(_, Some(Method::CredSsp), _))), "{said:?}");
        } else {
            let said = said.unwrap_err();
            assert!(said.contains("built without CredSSP") && said.contains("--features credssp"), "{said}");
        }
    }
}

/// What is in this module, in the configuration, or taken over from elsewhere.
const MAY_NAME_IT: [&str; 3] = ["pod/protocol", "config/", "cli/fleet/ansible/"];

#[test]
fn nobody_else_knows_which_protocols_and_systems_there_are() {
    fn look(folder: &Path, root: &Path, seen: &mut usize) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if path.is_dir() {
                look(&path, root, seen);
            } else if !MAY_NAME_IT.iter().any(|may| name.starts_with(may)) {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = |line: &&str| line.to_lowercase().contains("winrm") || line.contains("Windows");
                assert_eq!(text.lines().find(names), None, "in {name}");
                *seen += 1;
            }
        }
    }
    let (root, mut seen) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), 0);
    look(&root, &root, &mut seen);
    assert!(seen > 100, "{seen} files");
}

#[test]
fn an_authority_vouches_for_a_name_or_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let facts = Facts { certificate_authority: Some(path.clone()), ..winrm() };
    let protocol = of(&facts).unwrap();
    let pinned =
        |facts: &Facts| protocol.pinned(facts, [192, 0, 2, 7].into()).map_err(|error| error.to_string());
    assert!(protocol.is_pinned(&facts) && pinned(&facts).unwrap_err().contains("ca.pem"));
    std::fs::write(&path, "PEM").unwrap();
    let by = |name: &str| Some(Identity::CertifiedBy { authority: "PEM".into(), name: name.into() });
    assert_eq!(pinned(&facts), Ok(by("192.0.2.7")));
    let named = Facts { certificate_name: Some("win.example".into()), ..facts };
    assert_eq!(pinned(&named), Ok(by("win.example")));
}
