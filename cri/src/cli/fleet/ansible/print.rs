//! Hosts of Ansible as entries of an inventory.

use std::fmt::Write as _;

use super::{Host, Variables, windows};

/// Where a password may stand.
const PASSWORDS: [&str; 6] = [
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_winrm_pass",
    "ansible_winrm_password",
    "ansible_psrp_password",
];

/// An inventory of these hosts, with what a person still has to do.
pub(in super::super) fn toml(hosts: &[Host]) -> String {
    let mut text = "# Made of an inventory of Ansible. Each machine needs its `host-keys` or `certificates`: `infranetes fleet check` \
                    shows what it has now.\n"
        .to_owned();
    for host in hosts {
        machine(host, &mut text);
    }
    text
}

fn machine(entry: &Host, text: &mut String) {
    let Host { name, groups, variables } = entry;
    let connection = variables.get("ansible_connection").map_or("ssh", String::as_str);
    let winrm = windows::is_winrm(connection);
    if !winrm && !matches!(connection, "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "ansible.builtin.ssh")
    {
        let _ = writeln!(
            text,
            "\n# {} is left out: its connection is {connection:?}, and neither ssh nor winrm.",
            plain(name)
        );
        return;
    }
    // What is said of the connection's own kind counts before what is said of any.
    let own = if winrm { windows::kind(connection) } else { "ssh" };
    let said = |what: &str| first(variables, &[&format!("ansible_{own}_{what}"), &format!("ansible_{what}")]);
    let host = said("host").unwrap_or(name);
    let port = said("port");
    let address = match port {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let _ =
        writeln!(text, "\n[[machine]]\nname = {}\naddress = {}", quoted(&entry_name(name)), quoted(&address));
    if let Some(user) = said("user") {
        let _ = writeln!(text, "user = {}", quoted(user));
    }
    if winrm {
        windows::winrm(entry, port, text);
    } else {
        windows::os(variables, text);
    }
    let key = first(variables, &["ansible_ssh_private_key_file", "ansible_private_key_file"]);
    match key.filter(|_| !winrm) {
        Some(key) if key.starts_with('/') => {
            let _ = writeln!(text, "credential = {{ key-file = {} }}", quoted(key));
        }
        Some(key) => {
            let _ = writeln!(text, "# credential = {{ key-file = {} }}, with the whole path", quoted(key));
        }
        None if first(variables, &PASSWORDS).is_some() => text.push_str(
            "# Its password is not copied: put it into a file, and name that as credential = { password-file = \"/PATH\" }\n",
        ),
        None => {}
    }
    if !groups.is_empty() {
        let labels: Vec<_> = groups
            .iter()
            .map(|group| format!("{} = \"true\"", quoted(&format!("ansible/{group}"))))
            .collect();
        let _ = writeln!(text, "labels = {{ {} }}", labels.join(", "));
    }
}

pub(super) fn first<'a>(variables: &'a Variables, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| variables.get(*name)).map(String::as_str)
}

/// A name that can stand in an image reference.
fn entry_name(name: &str) -> String {
    let mut made = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()).take(63) {
        let ok = c.is_ascii_lowercase() || c.is_ascii_digit();
        match (ok, made.ends_with(['-', '.', '_'])) {
            (true, _) => made.push(c),
            (false, false) if !made.is_empty() => made.push(if matches!(c, '.' | '_') { c } else { '-' }),
            (false, _) => {}
        }
    }
    made.trim_end_matches(['-', '.', '_']).to_owned()
}

pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
