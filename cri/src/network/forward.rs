//! Forwards what comes to a pod's address to a machine elsewhere, in the pod's own namespace.
//!
//! ```text
//!   client --to the pod IP--> eth0: DNAT to the machine --> eth0: masqueraded as the pod IP --> the machine
//!   client <-- from the pod IP ------------------------------------------------------------------- answer
//! ```
//!
//! Outside of the namespace the pod is one like any other: Services, probes, `hostPort` and what a `NetworkPolicy` lets in hold at
//! its address. The machine sees the pod IP, or what the node makes of it, and not who asks.
//!
//! Happy path: one table of nftables, written as a whole each time, for every port of TCP, UDP and whatever else has
//! connections. Failure paths: the pod has no address of the machine's family, or the node no `nft`: refused with the remedy.
//! [`clear`] also ends what was forwarded before, for a connection outlives the rule that made it.

use std::net::IpAddr;

use super::command::tool;
use super::error::{Error, Result};
use super::{Attachment, netns};

const TABLE: &str = "infranetes_fleet";

/// Has every packet to the pod be forwarded to this address.
pub(super) async fn set(attachment: &Attachment, to: IpAddr) -> Result<()> {
    let own = attachment.all_addresses().find(|own| own.is_ipv4() == to.is_ipv4()).ok_or_else(|| {
        Error::Invalid(format!(
            "pod {} has no address of the family of {to}, to which it is forwarded; give the pod network such addresses, or the \
             machine one of the other family",
            attachment.id
        ))
    })?;
    inside(attachment, &["sysctl", "-qw"], &forwarding(to.is_ipv4(), true), "").await?;
    inside(attachment, &["nft", "-f", "-"], &[], &rules(own, to)).await
}

/// Has no packet be forwarded any more.
pub(super) async fn clear(attachment: &Attachment) -> Result<()> {
    if !netns::path(&attachment.id).exists() {
        return Ok(());
    }
    for four in [true, false] {
        if attachment.all_addresses().any(|own| own.is_ipv4() == four) {
            inside(attachment, &["sysctl", "-qw"], &forwarding(four, false), "").await?;
            let table = format!("table {} {TABLE}", family(four));
            inside(attachment, &["nft", "-f", "-"], &[], &format!("{table} {{}}\ndelete {table}\n")).await?;
        }
    }
    Ok(())
}

/// The settings of the kernel. A packet leaves by the interface that it came by, of which nobody shall be told a better way.
fn forwarding(four: bool, on: bool) -> Vec<&'static str> {
    match (four, on) {
        (true, true) => vec![
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.send_redirects=0",
            "net.ipv4.conf.eth0.send_redirects=0",
        ],
        (true, false) => vec!["net.ipv4.ip_forward=0"],
        (false, true) => vec!["net.ipv6.conf.all.forwarding=1"],
        (false, false) => vec!["net.ipv6.conf.all.forwarding=0"],
    }
}

fn family(four: bool) -> &'static str {
    if four { "ip" } else { "ip6" }
}

/// The table, which replaces an earlier one at once.
fn rules(own: IpAddr, to: IpAddr) -> String {
    let family = family(to.is_ipv4());
    format!(
        "table {family} {TABLE} {{}}\ndelete table {family} {TABLE}\ntable {family} {TABLE} {{\n\
         chain to {{ type nat hook prerouting priority -100; {family} daddr {own} dnat to {to}; }}\n\
         chain from {{ type nat hook postrouting priority 100; ct status dnat masquerade; }}\n}}\n"
    )
}

async fn inside(attachment: &Attachment, program: &[&str], arguments: &[&str], stdin: &str) -> Result<()> {
    let net = format!("--net={}", attachment.netns.display());
    let all = [&[&*net, "--"], program, arguments].concat();
    tool("nsenter", &all, stdin).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_the_family() {
        let four = rules("10.89.0.2".parse().unwrap(), "192.0.2.7".parse().unwrap());
        assert!(four.contains("ip daddr 10.89.0.2 dnat to 192.0.2.7;") && !four.contains("ip6"), "{four}");
        let six = rules("fd00::2".parse().unwrap(), "2001:db8::7".parse().unwrap());
        assert!(six.contains("ip6 daddr fd00::2 dnat to 2001:db8::7;"), "{six}");
    }
}
