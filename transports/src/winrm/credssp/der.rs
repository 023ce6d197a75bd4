//! Writing DER, and finding the numbered fields of a sequence.

use super::super::der::element;

pub(super) const BITS: u8 = 0x03;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;

/// An element.
pub(super) fn write(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().position(|&digit| digit != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![kind];
    if content.len() > 0x7f {
        der.push(0x80 | u8::try_from(digits.len()).expect("a length has eight digits at most"));
    }
    der.extend_from_slice(digits);
    der.extend_from_slice(content);
    der
}

/// The field of a sequence that has this number, around an element.
pub(super) fn field(number: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    write(0xa0 | number, &write(kind, content))
}

/// The content of an element of this kind.
pub(super) fn inside(der: &[u8], kind: u8) -> Option<&[u8]> {
    element(der).filter(|(found, ..)| *found == kind).map(|(_, content, _)| content)
}

/// The content of the element of this kind in the field of this number.
pub(super) fn find(mut fields: &[u8], number: u8, kind: u8) -> Option<&[u8]> {
    loop {
        let (found, content, rest) = element(fields)?;
        if found == 0xa0 | number {
            return inside(content, kind);
        }
        fields = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found_and_cut_it_is_not() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000, 0x12_3456] {
            let content = vec![7; length];
            let fields = [field(0, INTEGER, &[6]), field(3, OCTETS, &content)].concat();
            assert_eq!(find(&fields, 3, OCTETS), Some(&content[..]));
            assert_eq!((find(&fields, 3, BITS), find(&fields, 4, OCTETS)), (None, None));
            for end in [0, 1, 4, 6, fields.len() - 1] {
                assert_eq!(find(&fields[..end], 3, OCTETS), None, "{end} of {length}");
            }
        }
        assert_eq!(write(OCTETS, &[1; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(write(OCTETS, &[1; 0x100])[..4], [4, 0x82, 1, 0]);
    }
}
