//! Ansible's inventories: hosts, the groups that they are in, and variables of both.
//!
//! ```text
//!   INI or YAML --read--> Groups --the nearer variable wins--> Host --print--> [[machine]]
//! ```
//!
//! What a variable holds is taken as it stands: templates, vaults and files beside the inventory are Ansible's own, and a host that
//! needs them is told in a comment. A password is never printed: the comment names what to do instead.

mod ini;
mod print;
mod windows;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use print::toml;

/// How an inventory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines and sections.
    Ini,
    /// A tree.
    Yaml,
}

/// Variables by name.
type Variables = BTreeMap<String, String>;

/// What an inventory says.
#[derive(Debug, Default)]
struct Groups {
    by_name: BTreeMap<String, Group>,
    /// Hosts in the order in which they were first named.
    order: Vec<String>,
    hosts: BTreeMap<String, Variables>,
}

#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
    variables: Variables,
}

/// A host with all that holds for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    groups: Vec<String>,
    variables: Variables,
}

/// Reads an inventory. An error begins with the line.
pub(super) fn hosts(text: &str, format: Format) -> Result<Vec<Host>, String> {
    let groups = match format {
        Format::Ini => ini::read(text)?,
        Format::Yaml => yaml::read(text)?,
    };
    Ok(groups.flatten())
}

impl Groups {
    fn group(&mut self, name: &str) -> &mut Group {
        self.by_name.entry(name.to_owned()).or_default()
    }

    fn host(&mut self, group: &str, name: &str) -> &mut Variables {
        self.group(group).hosts.insert(name.to_owned());
        if !self.hosts.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }

    /// The groups that a host is in, each with its distance: 0 are those that name it.
    fn of(&self, host: &str) -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        let mut next: Vec<&str> = Vec::new();
        for (name, group) in &self.by_name {
            if group.hosts.contains(host) {
                next.push(name);
            }
        }
        for distance in 0..=self.by_name.len() {
            let mut parents = Vec::new();
            for name in next {
                // A farther way to a group counts: its variables are the weaker ones then.
                found.insert(name, distance);
                let has = |(_, group): &(&String, &Group)| group.children.contains(name);
                parents.extend(self.by_name.iter().filter(has).map(|(name, _)| name.as_str()));
            }
            next = parents;
        }
        found
    }

    fn flatten(self) -> Vec<Host> {
        let host = |name: &String| {
            let groups = self.of(name);
            let mut by_distance: Vec<_> = groups.iter().filter(|(name, _)| **name != "all").collect();
            by_distance.sort_by_key(|(name, distance)| (std::cmp::Reverse(**distance), **name));
            let far_first = ["all"].into_iter().chain(by_distance.iter().map(|(name, _)| **name));
            let mut variables = Variables::new();
            for group in far_first.filter_map(|name| self.by_name.get(name)) {
                variables.extend(group.variables.clone());
            }
            variables.extend(self.hosts[name].clone());
            let told = |name: &&str| *name != "all" && *name != "ungrouped";
            let groups = groups.into_keys().filter(told).map(str::to_owned).collect();
            Host { name: name.clone(), groups, variables }
        };
        self.order.iter().map(host).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machines::fleet::{Authentication, Os, Protocol, Scheme};

    const INI: &str = "\
db.example ansible_user=postgres

[web]
web[01:02].example:2222 ansible_ssh_private_key_file=/keys/web
# a comment
Win-1 ansible_connection=winrm
[web:vars]
ansible_user = admin
tier = 'front end'   # behind it
[site:children]
web
[site:vars]
ansible_user=site
ansible_port=22
[all:vars]
ansible_user=nobody
";
    const YAML: &str = "\
ungrouped:
  hosts:
    db.example: { ansible_user: postgres }
all:
  vars:
    ansible_user: nobody
  children:
    site:
      vars: { ansible_user: site, ansible_port: 22 }
      children:
        web:
          hosts:
            web[01:02].example:
              ansible_port: 2222
              ansible_ssh_private_key_file: /keys/web
            Win-1:
              ansible_connection: winrm
          vars:
            ansible_user: admin
            tier: front end
";

    #[test]
    fn both_formats_say_the_same() {
        let (mut ini, mut yaml) = (hosts(INI, Format::Ini).unwrap(), hosts(YAML, Format::Yaml).unwrap());
        ini.sort_by(|one, other| one.name.cmp(&other.name));
        yaml.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(ini, yaml);
        let names: Vec<_> = ini.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["Win-1", "db.example", "web01.example", "web02.example"]);
        let web = &ini[2];
        assert_eq!(web.groups, ["site", "web"]);
        assert_eq!(web.variables["ansible_user"], "admin", "the nearer group wins");
        assert_eq!(web.variables["ansible_port"], "2222", "the host wins");
        assert_eq!(web.variables["tier"], "front end");
        assert_eq!(ini[1].variables["ansible_user"], "postgres");
    }

    #[test]
    fn what_is_printed_is_an_inventory() {
        let text = toml(&hosts(&format!("{INI}[old]\nold ansible_password=hunter2\n"), Format::Ini).unwrap());
        assert!(!text.contains("hunter2") && text.contains("password-file"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        std::fs::write(&path, &text).unwrap();
        let inventory =
            machines::fleet::Inventory::load(&path).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let web = inventory.entry("web01.example").unwrap();
        assert_eq!((web.address().as_str(), web.user.as_deref()), ("web01.example:2222", Some("admin")));
        assert_eq!(web.labels["ansible/web"], "true");
        assert!(inventory.entry("old").unwrap().credential.is_none());
        let windows = inventory.entry("win-1").unwrap();
        assert_eq!((windows.transport, windows.os, windows.port), (Protocol::Winrm, Os::Windows, 22));
    }

    #[test]
    fn what_ansible_says_of_windows_is_kept() {
        let ini = "\
[win]
tls ansible_connection=winrm ansible_host=192.0.2.1 ansible_port=5986 ansible_winrm_transport=basic ansible_winrm_ca_trust_path=/etc/ca.pem
plain ansible_connection=winrm ansible_host=192.0.2.2 ansible_port=5985 ansible_winrm_transport=ntlm
word ansible_connection=psrp ansible_host=192.0.2.3 ansible_psrp_protocol=http ansible_psrp_auth=kerberos
self ansible_connection=winrm ansible_host=192.0.2.4 ansible_winrm_server_cert_validation=ignore ansible_password=hunter2
ssh ansible_host=192.0.2.5 ansible_shell_type=powershell ansible_ssh_private_key_file=/key
hand ansible_connection=winrm ansible_host=192.0.2.6 ansible_winrm_transport=credssp
net ansible_connection=network_cli
";
        let text = toml(&hosts(ini, Format::Ini).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        std::fs::write(&path, &text).unwrap();
        let inventory =
            machines::fleet::Inventory::load(&path).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let entry = |name: &str| inventory.entry(name).unwrap();
        let tls = entry("tls");
        assert_eq!((tls.port, tls.scheme, tls.os), (5986, Some(Scheme::Https), Os::Windows));
        assert_eq!(tls.authentication, Some(Authentication::Basic));
        assert_eq!(tls.certificate_authority.as_deref(), Some(std::path::Path::new("/etc/ca.pem")));
        assert_eq!((entry("plain").scheme, entry("plain").authentication), (Some(Scheme::Http), None));
        assert_eq!((entry("word").scheme, entry("word").port), (Some(Scheme::Http), 5985));
        assert_eq!((entry("self").scheme, entry("self").port), (Some(Scheme::Https), 5986));
        assert_eq!((entry("ssh").transport, entry("ssh").os), (Protocol::Ssh, Os::Windows));
        assert_eq!(entry("hand").authentication, None, "that is for a person to say, too");
        assert!(text.contains("# authentication = \"credssp\""), "{text}");
        assert!(text.contains("is kerberos; what is taken here") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("# net is left out") && text.contains("trust-on-first-use = true"), "{text}");
        assert!(
            inventory.entries.iter().all(|entry| !entry.trust_on_first_use),
            "that is for a person to say"
        );
    }

    #[test]
    fn what_is_said_of_the_own_kind_of_connection_counts_first() {
        let ini = "\
[win]
one ansible_connection=winrm ansible_host=192.0.2.1 ansible_winrm_host=192.0.2.2 ansible_winrm_port=5985 ansible_winrm_user=anna
two ansible_connection=ansible.builtin.psrp ansible_psrp_host=192.0.2.3 ansible_psrp_port=15986 ansible_psrp_user=bert ansible_winrm_password=hunter2
[win:vars]
ansible_user=nobody
";
        let text = toml(&hosts(ini, Format::Ini).unwrap());
        let (one, two) = text.split_once("name = \"two\"").unwrap();
        let has = |text: &str, lines: &[&str]| {
            for line in lines {
                assert!(text.lines().any(|one| one == *line), "{line}: {text}");
            }
        };
        has(one, &["address = \"192.0.2.2:5985\"", "user = \"anna\"", "# trust-on-first-use = true"]);
        has(two, &["address = \"192.0.2.3:15986\"", "user = \"bert\""]);
        assert!(two.contains("password-file") && !text.contains("hunter2"), "{text}");
    }

    /// What Ansible itself (2.17) makes of these lines.
    #[test]
    fn no_shell_takes_a_variable_of_a_group_apart() {
        let of_group = |line: &str| {
            let hosts = hosts(&format!("[web]\na\n[web:vars]\n{line}\n"), Format::Ini).unwrap();
            hosts[0].variables["v"].clone()
        };
        for (line, wanted) in [
            (r"v=CORP\svc", r"CORP\svc"),
            (r"v = 'CORP\svc'  # why", r"CORP\svc"),
            (r#"v="CORP\\svc""#, r"CORP\svc"),
            ("v=it's  two", "it's  two"),
            ("v=a#b # c", "a#b # c"),
            ("v=5986 # why", "5986"),
            (r#"v="a" and 'b'"#, r#""a" and 'b'"#),
            ("v='no end", "'no end"),
            ("v=", ""),
        ] {
            assert_eq!(of_group(line), wanted, "{line}");
        }
        let of_host =
            |word: &str| hosts(&format!("a {word}\n"), Format::Ini).unwrap()[0].variables["v"].clone();
        for (word, wanted) in
            [(r"v=CORP\svc", "CORPsvc"), (r#"v="CORP\svc""#, r"CORP\svc"), (r#"v="a\"b\\c""#, r#"a"b\c"#)]
        {
            assert_eq!(of_host(word), wanted, "{word}");
        }
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        let said = hosts("[web]\na 'b\n", Format::Ini).unwrap_err();
        assert!(said.starts_with("2: "), "{said}");
        let said = hosts("[web\n", Format::Ini).unwrap_err();
        assert!(said.starts_with("1: "), "{said}");
        let said = hosts("all:\n  hosts:\n - x\n", Format::Yaml).unwrap_err();
        assert!(said.split(':').next().unwrap().parse::<u32>().is_ok(), "{said}");
    }
}
