//! What a name of an image means.
//!
//! A reference without a tag means `:latest`, one without a registry means Docker Hub, as everywhere. An id may be
//! written with or without `sha256:`, and cut to no less than 12 digits.

use oci_spec::distribution::{ParseError, Reference};

use crate::layout::is_hex_digest;
use crate::{Error, Result};

/// The registry that imported images are named under. It is nowhere on the network.
pub const LOCAL_REGISTRY: &str = "infranetes.local";

/// The longest name that is looked at, in bytes: a repository of 255 with a registry, a tag and a digest.
const LONGEST: usize = 1024;

/// The fewest digits of an id that stand for it.
const SHORTEST_PREFIX: usize = 12;

/// What a caller may have meant, in the order in which it is tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// A whole id, `sha256:...`.
    Id(String),
    /// The first hexadecimal digits of an id, or a reference.
    Prefix { hex: String, name: Option<String> },
    /// A reference in its full form.
    Name(String),
}

/// A reference in the full form that the store keeps: registry, repository, and a tag or a digest.
pub fn normalize(reference: &str) -> Result<String> {
    Ok(full(&parse(reference)?))
}

/// Parses a reference, adding what is understood.
pub(crate) fn parse(reference: &str) -> Result<Reference> {
    let bad = |why: &str| {
        Error::BadReference(format!(
            "{:?} is not an image reference: {why}; write REGISTRY/REPOSITORY:TAG in lower case",
            reference.chars().take(120).collect::<String>()
        ))
    };
    if reference.len() > LONGEST {
        return Err(bad("it is too long"));
    }
    let parsed: Reference = reference.parse().map_err(|error: ParseError| bad(&error.to_string()))?;
    let part = |part: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        edge(part.as_bytes().first()) && edge(part.as_bytes().last()) && part.bytes().all(inside)
    };
    if !parsed.repository().split('/').all(part) {
        return Err(bad("its repository has other characters than a-z, 0-9 and separators between them"));
    }
    let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if !parsed.registry().bytes().all(host) {
        return Err(bad("its registry is no host"));
    }
    if let Some(digest) = parsed.digest()
        && !digest.strip_prefix("sha256:").is_some_and(is_hex_digest)
    {
        return Err(bad("its digest is not a SHA-256"));
    }
    Ok(parsed)
}

/// The full form of a reference. A digest alone counts where there is both a tag and a digest.
pub(crate) fn full(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => by_digest(reference, digest),
        None => format!(
            "{}/{}:{}",
            reference.registry(),
            reference.repository(),
            reference.tag().unwrap_or("latest")
        ),
    }
}

/// The name of a manifest in the reference's repository.
pub(crate) fn by_digest(reference: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", reference.registry(), reference.repository())
}

/// What a caller may have meant by a reference or an id.
pub(crate) fn lookup(text: &str) -> Result<Lookup> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if is_hex_digest(hex) {
        return Ok(Lookup::Id(format!("sha256:{hex}")));
    }
    let digits = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits && (SHORTEST_PREFIX..64).contains(&hex.len()) {
        let name = normalize(text).ok();
        return Ok(Lookup::Prefix { hex: hex.to_owned(), name });
    }
    Ok(Lookup::Name(normalize(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn full_forms() {
        for (given, full) in [
            ("localhost:5000/legacy/app", "localhost:5000/legacy/app:latest".to_owned()),
            ("infranetes.local/legacy/app:1", "infranetes.local/legacy/app:1".to_owned()),
            ("debian", "docker.io/library/debian:latest".to_owned()),
            (&format!("r.example/a@sha256:{HEX}"), format!("r.example/a@sha256:{HEX}")),
            (&format!("r.example/a:1@sha256:{HEX}"), format!("r.example/a@sha256:{HEX}")),
        ] {
            assert_eq!(normalize(given).unwrap(), full, "{given}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_by_name() {
        for bad in ["", "UPPER/case", "http://x/y", "a b", "x@md5:00", "../etc"] {
            let error = normalize(bad).unwrap_err();
            assert!(matches!(error, Error::BadReference(_)), "{bad}");
            assert!(error.to_string().contains("is not an image reference"), "{error}");
        }
    }

    #[test]
    fn ids() {
        assert_eq!(lookup(HEX).unwrap(), Lookup::Id(format!("sha256:{HEX}")));
        assert_eq!(lookup(&format!("sha256:{HEX}")).unwrap(), Lookup::Id(format!("sha256:{HEX}")));
        let Lookup::Prefix { hex, name } = lookup(&HEX[..13]).unwrap() else { panic!("not a prefix") };
        assert_eq!(hex, &HEX[..13]);
        assert_eq!(name.as_deref(), Some("docker.io/library/0123456789abc:latest"));
        assert!(matches!(lookup(&HEX[..11]).unwrap(), Lookup::Name(_)));
    }
}
