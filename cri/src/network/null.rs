//! A network that is none: made-up addresses in memory, for measurements of the daemon alone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{AddressWithPrefix, Attachment, Dns, Error, Result};

/// The addresses in use: 100.64.0.0/10, 22 bits.
const COUNT: u32 = 1 << 22;

#[derive(Default)]
pub(super) struct Addresses(Mutex<HashMap<String, u32>>);

impl Addresses {
    /// The same id gets the same address, unless another pod has it.
    pub(super) fn attach(&self, id: &str) -> Result<Attachment> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = if let Some(number) = used.get(id) {
            *number
        } else {
            let hash = id
                .bytes()
                .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            let taken: std::collections::HashSet<u32> = used.values().copied().collect();
            let number = (0..COUNT)
                .map(|step| hash.wrapping_add(step) % COUNT)
                .find(|number| !taken.contains(number))
                .ok_or_else(|| Error::NotReady("every made-up address is in use; remove pods".to_owned()))?;
            used.insert(id.to_owned(), number);
            number
        };
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + number);
        let [_, b, c, d] = address.octets();
        Ok(Attachment {
            id: id.to_owned(),
            netns: PathBuf::new(),
            tap: String::new(),
            mac: format!("02:00:64:{b:02x}:{c:02x}:{d:02x}"),
            mtu: 1500,
            addresses: vec![AddressWithPrefix { address: IpAddr::V4(address), prefix: 10 }],
            gateway4: None,
            gateway6: None,
            routes: Vec::new(),
            dns: Dns::default(),
        })
    }

    pub(super) fn detach(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}
