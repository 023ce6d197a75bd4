//! The guest's challenge, read within its bounds.

use super::SIGNATURE;

/// What a challenge tells.
#[derive(Debug)]
pub(super) struct Challenge<'a> {
    pub(super) flags: u32,
    pub(super) server: &'a [u8],
    /// Names and time of the guest, as attribute pairs.
    pub(super) target: &'a [u8],
}

impl<'a> Challenge<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, String> {
        let read = || {
            if message.get(..8)? != SIGNATURE || number(message, 8)? != 2 {
                return None;
            }
            let length = usize::from(u16::from_le_bytes(message.get(40..42)?.try_into().ok()?));
            let offset = usize::try_from(number(message, 44)?).ok()?;
            let target = if length == 0 { &[] } else { message.get(offset..offset.checked_add(length)?)? };
            Some(Self { flags: number(message, 20)?, server: message.get(24..32)?, target })
        };
        read().ok_or_else(|| "its NTLM challenge is malformed".to_owned())
    }
}

/// A number of four bytes.
fn number(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?))
}
