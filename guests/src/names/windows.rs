//! The names of a guest with Windows.
//!
//! Happy path: one script gives each of its network adapters the DNS servers, and all of them the search domains, which is in force
//! at once; and the guest its host name, which is from its next boot on, for Windows changes that in no running system. Options of
//! a resolver of Linux mean nothing to it.
//!
//! A guest that is lent keeps what each adapter had before, also of one that comes while it is lent, and each has that again at the
//! end, by the registry where it has no link then.
//!
//! Failure paths: only servers of IPv6, a name that Windows does not take, a guest that is a member of a domain: an error that says
//! so, and what could be set is set. An adapter that cannot be given back its servers: the others are, and what was before is kept.

use std::net::IpAddr;
use std::time::Duration;

use transports::Session;

use super::{Names, Resolver};
use crate::powershell::{bounds, run};
use crate::{Error, Family, Result};

/// How long the guest may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than what is said of it.
const ANSWER_BYTES: usize = 1024;

pub(crate) const SCRIPT: &str = include_str!("names.ps1");

/// Has the guest be called and resolve names so.
pub(super) async fn set(session: &dyn Session, names: &Names) -> Result<()> {
    let (servers, suffixes) = words(names)?;
    let arguments = [names.hostname.as_str(), &servers, &suffixes];
    say(session, "set_names $args[0] $args[1] $args[2] ''\n", &arguments).await
}

/// Has a guest resolve names so, and keep what was before in a file there.
pub(crate) async fn lay(session: &dyn Session, names: &Names, before: &str) -> Result<()> {
    let (servers, suffixes) = words(names)?;
    if servers.is_empty() {
        return Ok(());
    }
    let call = "set_names '' $args[0] $args[1] \"$root\\$($args[2])\"\n";
    say(session, call, &[&servers, &suffixes, before]).await
}

async fn say(session: &dyn Session, call: &str, arguments: &[&str]) -> Result<()> {
    let text = format!("only_administrators 'names are set by'\n{SCRIPT}{call}say 'D'\n");
    run(session, &text, arguments, &[], bounds(PATIENCE, ANSWER_BYTES)).await?.done().map(drop)
}

/// Servers and suffixes, separated by commas; nothing where they are left to the guest.
fn words(names: &Names) -> Result<(String, String)> {
    names.resolver_text()?;
    let Some(Resolver { servers, search, options: _ }) = &names.resolver else {
        return Ok(Default::default());
    };
    let four: Vec<String> = servers.iter().filter(|server| server.is_ipv4()).map(IpAddr::to_string).collect();
    if four.is_empty() {
        return Err(Family::Windows.lacks(
            "is given no DNS servers of IPv6 alone",
            "give the cluster's DNS an address of IPv4, or leave them to DHCP",
        ));
    }
    if let Some(word) = search.iter().find(|word| word.contains(',')) {
        return Err(Error::Unsupported(format!("{word:?} is no search domain")));
    }
    Ok((four.join(","), search.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a function, one line after the other.
    fn function(name: &str) -> &'static str {
        let (_, rest) = SCRIPT.split_once(&format!("\nfunction {name}(")).unwrap();
        rest.split_once("\n}\n").unwrap().0
    }

    fn in_this_order(text: &str, steps: &[&str]) {
        let at: Vec<_> =
            steps.iter().map(|step| text.find(step).unwrap_or_else(|| panic!("{step}"))).collect();
        assert!(at.is_sorted(), "{steps:?}: {at:?}");
    }

    #[test]
    fn what_an_adapter_had_is_kept_before_it_has_anything_else() {
        let steps =
            ["foreach ($adapter in @(adapters))", "keep $before $known $id $now", "set_servers $adapter"];
        in_this_order(function("set_names"), &steps);
        assert!(function("keep").contains("AppendAllText"), "one that comes later is added");
    }

    #[test]
    fn each_adapter_is_given_back_what_it_had_before_that_is_forgotten() {
        let restore = function("restore_names");
        in_this_order(
            restore,
            &["@($known.Keys)", "restore_servers $id", "refuse", "[IO.File]::Delete($before)"],
        );
        assert!(!restore.contains("adapters"), "those without a link are no such");
        in_this_order(
            function("restore_servers"),
            &["order_servers", "(static_of $id) -ne $list", "Set-ItemProperty"],
        );
    }

    #[test]
    fn servers_and_suffixes_are_lists() {
        let names = |servers: &[&str], search: &[&str]| Names {
            hostname: "web".into(),
            resolver: Some(Resolver {
                servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
                search: search.iter().map(ToString::to_string).collect(),
                options: vec!["ndots:5".into()],
            }),
        };
        let both = words(&names(&["10.96.0.10", "fd00::a"], &["a.local", "local"])).unwrap();
        assert_eq!(both, ("10.96.0.10".to_owned(), "a.local,local".to_owned()));
        assert!(words(&names(&["fd00::a"], &[])).unwrap_err().to_string().contains("IPv6 alone"));
        for bad in ["a,b", "a b"] {
            assert!(words(&names(&["10.0.0.1"], &[bad])).is_err(), "{bad}");
        }
        let none = Names { hostname: "web".into(), resolver: None };
        assert_eq!(words(&none).unwrap(), Default::default());
    }
}
