//! From the address of an entry to the one that a pod's packets are forwarded to.
//!
//! ```text
//!   name or address --every address that it has--> not this node's own, of a family that the pod has --> the first of these
//! ```

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::address::checked;
use super::inventory::Entry;
use crate::{Error, Result};

/// How long a host's name may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(10);

/// The address of an entry now, for a pod with these addresses; any where it has none yet.
pub async fn resolve(entry: &Entry, pod: &[IpAddr]) -> Result<SocketAddr> {
    let what =
        || format!("cannot resolve {:?}, the address of machine {:?} of the fleet", entry.host, entry.name);
    let found = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((entry.host.as_str(), entry.port)));
    let found = match found.await {
        Ok(found) => found.map_err(|error| Error::failed(what(), error))?,
        Err(error) => return Err(Error::failed(what(), error)),
    };
    pick(found, pod).map_err(|why| Error::NotReady(format!("{}: {why}", what())))
}

/// The first address that can be used; else why the first cannot.
fn pick(found: impl IntoIterator<Item = SocketAddr>, pod: &[IpAddr]) -> Result<SocketAddr, String> {
    let mut why = None;
    for address in found.into_iter().map(canonical) {
        match usable(address, pod) {
            Ok(()) => return Ok(address),
            Err(refusal) => why = why.or(Some(refusal)),
        }
    }
    Err(why.unwrap_or_else(|| "it has no address".to_owned()))
}

/// An address of IPv4 in the dress of IPv6 is one of IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip != address.ip() => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

fn usable(address: SocketAddr, pod: &[IpAddr]) -> Result<(), String> {
    let ip = address.ip();
    checked(ip, &ip.to_string())?;
    if is_own(address) {
        return Err(format!("{ip} is this node itself, whose packets cannot be forwarded to it"));
    }
    if !pod.is_empty() && !pod.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) {
        return Err(format!(
            "the pod has no address of the family of {ip}, to which it would be forwarded; give the pod network such \
             addresses, or the machine one of the other family"
        ));
    }
    Ok(())
}

/// Whether an address is this node's own: the kernel would send from there, too. Nothing is sent.
fn is_own(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(found: &[&str], pod: &[&str]) -> Result<String, String> {
        let pod: Vec<IpAddr> = pod.iter().map(|ip| ip.parse().unwrap()).collect();
        pick(found.iter().map(|address| address.parse().unwrap()), &pod).map(|address| address.to_string())
    }

    #[test]
    fn the_first_address_that_a_pod_can_be_forwarded_to_is_taken() {
        let both = ["[2001:db8::7]:22", "198.51.100.7:22"];
        assert_eq!(picked(&both, &["10.0.0.1"]).unwrap(), both[1]);
        assert_eq!(picked(&both, &["10.0.0.1", "fd00::1"]).unwrap(), both[0]);
        assert_eq!(picked(&both, &[]).unwrap(), both[0]);
        assert_eq!(picked(&["127.0.1.1:22", both[1]], &["10.0.0.1"]).unwrap(), both[1]);
        assert_eq!(picked(&["[::ffff:198.51.100.7]:22"], &["10.0.0.1"]).unwrap(), both[1]);
        for (found, part) in [
            (&[][..], "no address"),
            (&["127.0.1.1:22"], "no address of another machine"),
            (&["[::ffff:127.0.0.1]:22"], "no address of another machine"),
            (&["[2001:db8::7]:22"], "the pod has no address of the family"),
        ] {
            let why = picked(found, &["10.0.0.1"]).unwrap_err();
            assert!(why.contains(part), "{found:?}: {why}");
        }
    }

    #[test]
    fn the_node_knows_its_own_address() {
        // Documentation has the other one: it is nobody's.
        assert!(is_own("127.0.0.1:22".parse().unwrap()));
        assert!(!is_own("198.51.100.7:22".parse().unwrap()));
    }
}
