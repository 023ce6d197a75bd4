//! Protocol Buffers as they travel: as much of a message is looked at as it takes, and nothing of it is lost.

use bytes::Bytes;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// What was read is no message.
#[derive(Debug, thiserror::Error)]
#[error("not a message of Protocol Buffers")]
pub(super) struct Malformed;

impl From<DecodeError> for Malformed {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// A field of a message.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its number.
    pub(super) number: u32,
    /// What it carries, where that has a length of its own: a text, bytes, a message.
    pub(super) content: Option<Bytes>,
    /// All of it, number and length included.
    pub(super) whole: Bytes,
}

/// The fields of a message in their order. After an error there are no more.
pub(super) fn fields(message: &Bytes) -> impl Iterator<Item = Result<Field, Malformed>> + use<> {
    let mut rest = message.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest);
        if field.is_err() {
            rest.clear();
        }
        Some(field)
    })
}

fn next(rest: &mut Bytes) -> Result<Field, Malformed> {
    let mut ahead = rest.clone();
    let (number, kind) = decode_key(&mut ahead)?;
    let content = if kind == WireType::LengthDelimited {
        let length = usize::try_from(decode_varint(&mut ahead)?).map_err(|_| Malformed)?;
        if length > ahead.len() {
            return Err(Malformed);
        }
        Some(ahead.split_to(length))
    } else {
        skip_field(kind, number, &mut ahead, DecodeContext::default())?;
        None
    };
    let whole = rest.split_to(rest.len() - ahead.len());
    Ok(Field { number, content, whole })
}

/// What the field of this number carries: of several the last one counts, as everywhere.
pub(super) fn content(message: &Bytes, number: u32) -> Result<Option<Bytes>, Malformed> {
    let mut found = None;
    for field in fields(message) {
        let field = field?;
        if field.number == number && field.content.is_some() {
            found = field.content;
        }
    }
    Ok(found)
}

/// The text at the end of a path of fields, each in the one before; empty where there is none.
pub(super) fn text(message: &Bytes, path: &[u32]) -> Result<String, Malformed> {
    let mut at = message.clone();
    for number in path {
        match content(&at, *number)? {
            Some(inside) => at = inside,
            None => return Ok(String::new()),
        }
    }
    Ok(String::from_utf8_lossy(&at).into_owned())
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::runtime::v1::{Container, ContainerMetadata, RunPodSandboxRequest};

    use super::*;

    #[test]
    fn texts_are_found_by_their_path() {
        let metadata = ContainerMetadata { name: "web".into(), attempt: 7 };
        let container =
            Container { id: "x1".into(), metadata: Some(metadata), state: 2, ..Default::default() };
        let message = Bytes::from(container.encode_to_vec());
        assert_eq!(text(&message, &[1]).unwrap(), "x1");
        assert_eq!(text(&message, &[3, 1]).unwrap(), "web");
        assert_eq!(text(&message, &[9]).unwrap(), "");
        let request = RunPodSandboxRequest { config: None, runtime_handler: "vm".into() };
        assert_eq!(text(&request.encode_to_vec().into(), &[2]).unwrap(), "vm");
    }

    #[test]
    fn no_byte_is_lost_of_what_nobody_knows() {
        // A number of field 200, four bytes of field 201, a text of field 202.
        let message =
            Bytes::from_static(&[0xc0, 0x0c, 0x96, 0x01, 0xcd, 0x0c, 1, 2, 3, 4, 0xd2, 0x0c, 1, b'x']);
        let read: Vec<Field> = fields(&message).map(Result::unwrap).collect();
        let numbers: Vec<u32> = read.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [200, 201, 202]);
        assert_eq!(read.iter().flat_map(|field| field.whole.to_vec()).collect::<Vec<u8>>(), message);
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        for broken in [&[0x0a][..], &[0x0a, 5, b'x'], &[0x08, 0xff], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            let message = Bytes::copy_from_slice(broken);
            assert!(fields(&message).any(|field| field.is_err()), "{broken:?}");
            assert!(fields(&message).count() <= 2);
        }
    }
}
