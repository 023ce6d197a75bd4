//! DHCP's packets: what a guest asks, and what it is answered. Pure: bytes in, bytes out.
//!
//! Sources: RFC 2131 and 2132; classless routes RFC 3442; search list RFC 3397.

use std::net::{IpAddr, Ipv4Addr};

use super::super::{Attachment, GuestIdentity};

/// The fixed part of a packet in bytes, up to the magic cookie and with it.
const FIXED: usize = 240;
/// What marks the options.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The least length of a packet in bytes, for old clients.
const LEAST: usize = 300;
/// The answerer's own address on the tap.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

/// What one guest is told.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    mac: [u8; 6],
    address: Ipv4Addr,
    /// The options after the message type, ready to be sent.
    options: Vec<u8>,
    /// The same without the lease time, for a guest that has its address already.
    information: Vec<u8>,
}

/// A well-formed request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    kind: u8,
    transaction: [u8; 4],
    flags: [u8; 2],
    client: Ipv4Addr,
    hardware: [u8; 16],
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

impl Lease {
    /// What the guest of an attachment is told; none where it has no IPv4 address.
    pub(super) fn new(attachment: &Attachment, identity: &GuestIdentity) -> Option<Self> {
        let (address, prefix) = attachment.addresses.iter().find_map(|own| match own.address {
            IpAddr::V4(address) => Some((address, own.prefix)),
            IpAddr::V6(_) => None,
        })?;
        let mac = mac(&attachment.mac)?;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        let gateway = v4(attachment.gateway4);
        let (servers, search) = attachment.resolution(identity);
        let servers: Vec<u8> = servers
            .iter()
            .filter_map(|server| v4(Some(*server)))
            .flat_map(|server| server.octets())
            .collect();
        let mut information = Vec::new();
        option(&mut information, 54, &SERVER.octets());
        option(&mut information, 1, &mask.to_be_bytes());
        if let Some(gateway) = gateway {
            option(&mut information, 3, &gateway.octets());
        }
        option(&mut information, 6, &servers);
        option(&mut information, 12, identity.hostname.as_bytes());
        option(&mut information, 15, search.first().map(String::as_bytes).unwrap_or_default());
        option(&mut information, 26, &u16::try_from(attachment.mtu).unwrap_or(u16::MAX).to_be_bytes());
        option(&mut information, 119, &search.iter().flat_map(|domain| labels(domain)).collect::<Vec<_>>());
        option(&mut information, 121, &routes(attachment));
        let mut options = information.clone();
        option(&mut options, 51, &u32::MAX.to_be_bytes());
        Some(Self { mac, address, options, information })
    }

    /// The answer to a packet; none where there is nothing to say.
    pub(super) fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let asked = parse(packet)?;
        if asked.hardware[..6] != self.mac {
            return None;
        }
        let addressed_to_another = asked.server.is_some_and(|server| server != SERVER);
        let kind = match asked.kind {
            DISCOVER => OFFER,
            REQUEST if addressed_to_another => return None,
            REQUEST => {
                let wanted = asked.requested.unwrap_or(asked.client);
                if wanted == self.address { ACK } else { NAK }
            }
            INFORM => ACK,
            _ => return None,
        };
        let address = if kind == NAK || asked.kind == INFORM { Ipv4Addr::UNSPECIFIED } else { self.address };
        let mut reply = vec![2, 1, 6, 0];
        reply.extend(asked.transaction);
        reply.extend([0, 0]);
        reply.extend(asked.flags);
        reply.extend(asked.client.octets());
        reply.extend(address.octets());
        reply.extend(SERVER.octets());
        reply.extend([0; 4]);
        reply.extend(asked.hardware);
        reply.resize(FIXED - COOKIE.len(), 0);
        reply.extend(COOKIE);
        option(&mut reply, 53, &[kind]);
        match kind {
            NAK => option(&mut reply, 54, &SERVER.octets()),
            _ if asked.kind == INFORM => reply.extend(&self.information),
            _ => reply.extend(&self.options),
        }
        reply.push(255);
        reply.resize(reply.len().max(LEAST), 0);
        Some(reply)
    }
}

fn parse(packet: &[u8]) -> Option<Asked> {
    let fixed = packet.get(..FIXED)?;
    // A request from an Ethernet card that came by no relay.
    if fixed[..3] != [1, 1, 6] || fixed[24..28] != [0; 4] || fixed[FIXED - 4..] != COOKIE {
        return None;
    }
    let mut asked = Asked {
        kind: 0,
        transaction: fixed[4..8].try_into().ok()?,
        flags: fixed[10..12].try_into().ok()?,
        client: address(&fixed[12..16])?,
        hardware: fixed[28..44].try_into().ok()?,
        requested: None,
        server: None,
    };
    let mut rest = &packet[FIXED..];
    while let [code, after @ ..] = rest {
        match code {
            255 => break,
            0 => rest = after,
            code => {
                let (length, after) = after.split_first()?;
                let value = after.get(..usize::from(*length))?;
                rest = &after[value.len()..];
                match code {
                    53 => asked.kind = *value.first()?,
                    50 => asked.requested = address(value),
                    54 => asked.server = address(value),
                    _ => {}
                }
            }
        }
    }
    Some(asked)
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// Appends an option; a long value continues in options of the same code, an empty one is left out.
fn option(packet: &mut Vec<u8>, code: u8, value: &[u8]) {
    for part in value.chunks(255) {
        packet.push(code);
        packet.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        packet.extend(part);
    }
}

/// A domain as DNS writes it; one that DNS cannot write is left out.
fn labels(domain: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in domain.trim_end_matches('.').split('.') {
        match u8::try_from(label.len()) {
            Ok(length @ 1..=63) => {
                bytes.push(length);
                bytes.extend(label.as_bytes());
            }
            _ => return Vec::new(),
        }
    }
    bytes.push(0);
    bytes
}

/// The classless routes. A client that takes them ignores the router option, so the default route is among them.
fn routes(attachment: &Attachment) -> Vec<u8> {
    let mut bytes = Vec::new();
    for route in attachment.ordered_routes() {
        let IpAddr::V4(destination) = route.destination.address else { continue };
        let prefix = route.destination.prefix.min(32);
        bytes.push(prefix);
        bytes.extend(&destination.octets()[..usize::from(prefix).div_ceil(8)]);
        bytes.extend(v4(route.gateway).unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::super::{AddressWithPrefix, Dns, Route};
    use super::*;

    fn prefixed(address: &str, prefix: u8) -> AddressWithPrefix {
        AddressWithPrefix { address: address.parse().unwrap(), prefix }
    }

    fn lease(prefix: u8) -> Lease {
        let gateway = Some("10.1.0.1".parse().unwrap());
        let attachment = Attachment {
            id: "p".into(),
            netns: "/run/netns/p".into(),
            tap: "tap0".into(),
            mac: "02:00:00:00:00:09".into(),
            mtu: 1400,
            addresses: vec![prefixed("10.1.0.9", prefix)],
            gateway4: gateway,
            gateway6: None,
            routes: vec![Route { destination: prefixed("0.0.0.0", 0), gateway }],
            dns: Dns::default(),
        };
        let identity = GuestIdentity {
            hostname: "guest".into(),
            search: vec!["default.svc.cluster.local".into(), "cluster.local".into()],
            servers: vec!["10.96.0.10".parse().unwrap()],
        };
        Lease::new(&attachment, &identity).unwrap()
    }

    fn request(kind: u8, more: &[u8]) -> Vec<u8> {
        let mut packet = vec![1, 1, 6, 0, 1, 2, 3, 4];
        packet.resize(28, 0);
        packet.extend([2, 0, 0, 0, 0, 9]);
        packet.resize(FIXED - 4, 0);
        packet.extend(COOKIE);
        packet.extend([53, 1, kind]);
        packet.extend(more);
        packet.push(255);
        packet
    }

    fn found(reply: &[u8], wanted: u8) -> Option<Vec<u8>> {
        let mut rest = &reply[FIXED..];
        while let [code, length, after @ ..] = rest {
            if *code == 255 {
                return None;
            }
            let (value, after) = after.split_at(usize::from(*length));
            if *code == wanted {
                return Some(value.to_vec());
            }
            rest = after;
        }
        None
    }

    #[test]
    fn a_discover_is_offered_everything() {
        let reply = lease(16).answer(&request(DISCOVER, &[])).unwrap();
        assert_eq!(reply[4..8], [1, 2, 3, 4]);
        assert_eq!(reply[16..20], [10, 1, 0, 9]);
        assert_eq!(found(&reply, 53), Some(vec![OFFER]));
        assert_eq!(found(&reply, 1), Some(vec![255, 255, 0, 0]));
        assert_eq!(found(&reply, 3), Some(vec![10, 1, 0, 1]));
        assert_eq!(found(&reply, 6), Some(vec![10, 96, 0, 10]));
        assert_eq!(found(&reply, 12), Some(b"guest".to_vec()));
        assert_eq!(found(&reply, 15), Some(b"default.svc.cluster.local".to_vec()));
        assert_eq!(found(&reply, 26), Some(1400_u16.to_be_bytes().to_vec()));
        assert_eq!(found(&reply, 51), Some(vec![255; 4]));
        assert_eq!(found(&reply, 121), Some(vec![0, 10, 1, 0, 1]));
        let search = found(&reply, 119).unwrap();
        assert!(search.starts_with(b"\x07default\x03svc\x07cluster\x05local\x00"), "{search:?}");
    }

    #[test]
    fn a_gateway_outside_the_network_is_made_reachable_first() {
        let reply = lease(32).answer(&request(DISCOVER, &[])).unwrap();
        assert_eq!(found(&reply, 121), Some(vec![32, 10, 1, 0, 1, 0, 0, 0, 0, 0, 10, 1, 0, 1]));
    }

    #[test]
    fn only_its_own_address_is_acknowledged() {
        let ask = |address: [u8; 4]| {
            let more = [&[50, 4][..], &address, &[54, 4], &SERVER.octets()].concat();
            found(&lease(16).answer(&request(REQUEST, &more)).unwrap(), 53)
        };
        assert_eq!(ask([10, 1, 0, 9]), Some(vec![ACK]));
        assert_eq!(ask([10, 1, 0, 8]), Some(vec![NAK]));
        let elsewhere = [54, 4, 10, 1, 0, 2];
        assert_eq!(lease(16).answer(&request(REQUEST, &elsewhere)), None);
        let informed = lease(16).answer(&request(INFORM, &[])).unwrap();
        assert_eq!((found(&informed, 53), found(&informed, 51)), (Some(vec![ACK]), None));
    }

    #[test]
    fn strangers_and_rubbish_are_ignored() {
        let good = request(DISCOVER, &[]);
        let mut stranger = good.clone();
        stranger[33] = 1;
        assert_eq!(lease(16).answer(&stranger), None);
        for length in 0..good.len() - 1 {
            // Never a panic; without its end marker a request may still be whole.
            let _ = lease(16).answer(&good[..length]);
        }
        let mut random = 1_u64;
        for _ in 0..20_000 {
            let mut packet = good.clone();
            for _ in 0..8 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(random >> 33).unwrap() % packet.len();
                packet[at] = random.to_be_bytes()[3];
            }
            let _ = lease(16).answer(&packet);
        }
        assert_eq!(
            lease(16).answer(&request(DISCOVER, &[50, 200, 1])),
            None,
            "an option longer than the packet"
        );
        assert_eq!(lease(16).answer(&request(7, &[])), None, "a release has no answer");
    }
}
