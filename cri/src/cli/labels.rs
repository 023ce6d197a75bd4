//! `key=value` arguments.

/// The label that tells the pods of `run` from a kubelet's.
pub(super) const MADE_HERE: &str = "infranetes.io/run";

/// Splits one at its first `=`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sign_splits() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(pair("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(pair("a").unwrap_err().contains("KEY=VALUE"));
        assert!(pair("=b").is_err());
    }
}
