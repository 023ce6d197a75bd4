//! Paths of Windows.
//!
//! A pod's paths begin with `/`, for its kubelet runs on Linux: `/x`, `/C:\x` and `C:\x` are `C:\x`. What Windows would take for
//! something else (a device, a stream of a file, a name without the dot at its end) is refused.

use crate::{Error, Result};

/// A path as Windows has it.
pub(crate) fn path(text: &str) -> Result<String> {
    let bad = |why: &str| Error::Unsupported(format!("{text:?} is no path in a guest with Windows: {why}"));
    let named = text.trim_start_matches('/');
    let (drive, rest) = match named.as_bytes() {
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => named.split_at(2),
        _ if text.starts_with('/') => ("C:", named),
        _ => return Err(bad("it begins with no drive")),
    };
    let parts: Vec<&str> = rest.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(bad("it names nothing on its drive"));
    }
    for part in &parts {
        is_name(part).map_err(bad)?;
    }
    Ok(format!("{}\\{}", drive.to_ascii_uppercase(), parts.join("\\")))
}

/// Why Windows has no file of this name.
pub(crate) fn is_name(name: &str) -> Result<(), &'static str> {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered =
        |word: &str| stem.strip_prefix(word).is_some_and(|rest| matches!(rest.as_bytes(), [b'0'..=b'9']));
    if name == "." || name == ".." {
        Err("it leads elsewhere")
    } else if name.chars().any(|c| c.is_control() || "<>:\"/\\|?*".contains(c)) {
        Err("a name has a character that none has in Windows")
    } else if name.ends_with(['.', ' ']) {
        Err("Windows drops a dot or a space at the end of a name")
    } else if matches!(&stem[..], "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT") {
        Err("a name is that of a device in Windows")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_of_a_drive() {
        for (text, wanted) in [
            ("/x", r"C:\x"),
            (r"/C:\x", r"C:\x"),
            (r"C:\x\y", r"C:\x\y"),
            ("/d:/data", r"D:\data"),
            ("/var/run//secrets/", r"C:\var\run\secrets"),
            ("/a&b%c%/it's $(x)", r"C:\a&b%c%\it's $(x)"),
        ] {
            assert_eq!(path(text).unwrap(), wanted, "{text}");
        }
        for bad in [
            "",
            "x",
            "/",
            r"C:\",
            "C:",
            "/a/../b",
            "/a:b",
            "/nul",
            "/com1.txt",
            "/a.",
            "/a /b",
            "/a\nb",
            "/a|b",
        ] {
            let error = path(bad).unwrap_err();
            assert!(!error.retryable() && error.to_string().contains("is no path"), "{bad:?}: {error}");
        }
    }
}
