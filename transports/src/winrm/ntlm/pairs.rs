//! The attribute pairs of a challenge, to which the answer adds what it binds itself to.

use super::{Binding, utf16};

const END: u16 = 0;
const FLAGS: u16 = 6;
const TIME: u16 = 7;
const SERVICE: u16 = 9;
const CHANNEL: u16 = 10;

/// In the flags: the answer has an integrity code.
const HAS_CODE: u32 = 2;

/// Pairs of an attribute's number and its value, in order.
#[derive(Debug)]
pub(super) struct Pairs(Vec<(u16, Vec<u8>)>);

impl Pairs {
    pub(super) fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            let pair = || {
                let id = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
                let length = usize::from(u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?));
                Some((id, bytes.get(4..4 + length)?))
            };
            let Some((id, value)) = pair() else {
                return Err("its NTLM challenge has malformed attributes".to_owned());
            };
            if id == END {
                break;
            }
            pairs.push((id, value.to_vec()));
            bytes = &bytes[4 + value.len()..];
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, id: u16) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, value)| value.as_slice())
    }

    /// The guest's time, in Windows' units.
    pub(super) fn time(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.get(TIME)?.try_into().ok()?))
    }

    /// Adds what the answer is bound to.
    pub(super) fn bind(&mut self, binding: &Binding, has_code: bool) {
        if has_code {
            let old = self.get(FLAGS).and_then(|value| value.try_into().ok()).map_or(0, u32::from_le_bytes);
            self.set(FLAGS, (old | HAS_CODE).to_le_bytes().to_vec());
        }
        if let Some(hash) = binding.channel {
            self.set(CHANNEL, hash.to_vec());
        }
        if !binding.service.is_empty() {
            self.set(SERVICE, utf16(&binding.service));
        }
    }

    fn set(&mut self, id: u16, value: Vec<u8>) {
        self.0.retain(|(other, _)| *other != id);
        self.0.push((id, value));
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, value) in &self.0 {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }
}
