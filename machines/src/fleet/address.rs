//! How the address of a machine is written, and which cannot be one.

use std::net::IpAddr;

/// Takes `host`, `host:port`, `[v6]:port` or an address of IPv6 apart.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || {
        format!(
            "address {text:?} is none; write an IP address or a host's name, and `:PORT` behind it if need be"
        )
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return numbers(address, text).map(|host| (host, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?)),
        None => (text, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return numbers(address, text).map(|host| (host, port));
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A number as the last label is meant as an address.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.len() > 253 || numeric || !host.split('.').all(label) {
        return Err(wrong());
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Err(format!("address {text:?} is this node itself, whose packets cannot be forwarded to it"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// An address, written in the one way by which two of them are known to be the same.
fn numbers(address: IpAddr, text: &str) -> Result<String, String> {
    let address = address.to_canonical();
    checked(address, text).map(|()| address.to_string())
}

/// Refuses an address that is no other machine's.
pub(super) fn checked(address: IpAddr, text: &str) -> Result<(), String> {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(format!(
            "address {text:?} is no address of another machine; a pod's packets are forwarded to it"
        ));
    }
    Ok(())
}
