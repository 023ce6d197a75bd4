//! Hosts that Ansible reaches over `WinRM` (`winrm`, `psrp`), and what it says of Windows over SSH.

use std::fmt::Write as _;

use super::print::{first, plain, quoted};
use super::{Host, Variables};

/// The port that means HTTP where nothing else is said, to Ansible as to us.
const HTTP_PORT: &str = "5985";

/// The kind of a connection, without where its plugin comes from.
pub(super) fn kind(connection: &str) -> &str {
    connection.strip_prefix("ansible.builtin.").unwrap_or(connection)
}

/// Whether a connection of this name is one over `WinRM`.
pub(super) fn is_winrm(connection: &str) -> bool {
    matches!(kind(connection), "winrm" | "psrp")
}

/// What a host's shell says of its system, over SSH.
pub(super) fn os(variables: &Variables, text: &mut String) {
    let shell = first(variables, &["ansible_shell_type"]);
    if matches!(shell, Some("cmd" | "powershell")) {
        text.push_str("os = \"windows\"\n");
    }
    if shell == Some("powershell") {
        text.push_str(
            "# Its login shell has to be cmd: remove DefaultShell from HKLM\\SOFTWARE\\OpenSSH in it.\n",
        );
    }
}

/// How such a host is reached, and what a person still has to do for that.
pub(super) fn winrm(Host { variables, .. }: &Host, port: Option<&str>, text: &mut String) {
    text.push_str("transport = \"winrm\"\nos = \"windows\"\n");
    let scheme = first(variables, &["ansible_winrm_scheme", "ansible_psrp_protocol"]);
    if let Some(scheme @ ("http" | "https")) = scheme {
        let _ = writeln!(text, "scheme = {}", quoted(scheme));
    }
    let http = scheme.map_or(port == Some(HTTP_PORT), |scheme| scheme == "http");
    let authorities = ["ansible_winrm_ca_trust_path", "ansible_psrp_ca_cert", "ansible_psrp_cert_trust_path"];
    let authority = first(variables, &authorities);
    if http {
        text.push_str(
            "# Over HTTP it shows nothing that could be checked: reach it over HTTPS, or trust whoever knows its password by\n\
             # trust-on-first-use = true\n",
        );
    } else if let Some(authority) = authority.filter(|path| path.starts_with('/')) {
        let _ = writeln!(text, "certificate-authority = {}", quoted(authority));
    } else {
        text.push_str("# It needs its `certificates`, or a `certificate-authority`.\n");
    }
    let ways = first(variables, &["ansible_winrm_transport", "ansible_psrp_auth"]).unwrap_or("negotiate");
    let has = |names: &[&str]| ways.split([',', ' ']).any(|way| names.contains(&way));
    // What Ansible calls NTLM is what Windows takes as Negotiate.
    if has(&["ntlm", "negotiate"]) {
        return;
    }
    if has(&["basic", "plaintext", "ssl"]) && !http {
        text.push_str("authentication = \"basic\"\n");
    } else if has(&["credssp"]) {
        text.push_str(
            "# Its way to log in is CredSSP, which hands it the password; where that is meant:\n\
             # authentication = \"credssp\"\n",
        );
    } else {
        let _ = writeln!(
            text,
            "# Its way to log in is {}; what is taken here is Negotiate (NTLM), or Basic over HTTPS.",
            plain(ways)
        );
    }
}
