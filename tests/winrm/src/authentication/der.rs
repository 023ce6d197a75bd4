//! As much of DER as SPNEGO and `CredSSP` take.

pub(in crate::authentication) const SEQUENCE: u8 = 0x30;
pub(in crate::authentication) const OCTETS: u8 = 0x04;
pub(in crate::authentication) const INTEGER: u8 = 0x02;

/// The first element: its tag, its value, and what follows.
pub(in crate::authentication) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) =
            rest.split_at_checked(usize::from(first & 0x7F)).filter(|(n, _)| n.len() <= 4)?;
        (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// The value of an element that has this tag.
pub(in crate::authentication) fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, value, _)| value)
}

/// The value of the field of this number among elements.
pub(in crate::authentication) fn context(mut bytes: &[u8], number: u8) -> Option<&[u8]> {
    loop {
        let (tag, value, rest) = element(bytes)?;
        if tag == 0xA0 | number {
            return Some(value);
        }
        bytes = rest;
    }
}

pub(in crate::authentication) fn write(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    match u8::try_from(value.len()) {
        Ok(length) if length < 0x80 => element.push(length),
        Ok(length) => element.extend([0x81, length]),
        Err(_) => {
            let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
            element.push(0x82);
            element.extend(length.to_be_bytes());
        }
    }
    element.extend(value);
    element
}

/// An element in the field of this number.
pub(in crate::authentication) fn field(number: u8, tag: u8, value: &[u8]) -> Vec<u8> {
    write(0xA0 | number, &write(tag, value))
}
