//! What a container with a command asks of its process, checked. Pure.

use std::collections::BTreeMap;

use proto::runtime::v1::{KeyValue, Signal};

use crate::error::{Error, Result};
use crate::store::ProcessStdin;

/// Where the kubelet says which file holds the termination message.
const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";

/// The program and its arguments.
pub fn argv(argv: Vec<String>) -> Result<Vec<String>> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("the container's command begins with an empty word; name a program"));
    }
    match argv.iter().find(|word| word.contains('\0')) {
        Some(word) => {
            Err(Error::invalid(format!("the container's command has a NUL in {word:?}; remove it")))
        }
        None => Ok(argv),
    }
}

/// The environment. No error tells a value.
pub fn env(env: Vec<KeyValue>) -> Result<Vec<(String, String)>> {
    let variable = |KeyValue { key: name, value }| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Error::invalid(format!("{name:?} cannot be the name of an environment variable")));
        }
        match String::from_utf8(value) {
            Ok(value) if !value.contains('\0') => Ok((name, value)),
            _ => Err(Error::invalid(format!(
                "the value of the environment variable {name} has a NUL or is not UTF-8"
            ))),
        }
    };
    env.into_iter().map(variable).collect()
}

/// The working directory, which is absolute.
pub fn working_dir(path: String) -> Result<Option<String>> {
    if path.is_empty() {
        return Ok(None);
    }
    absolute(path, "working_dir").map(Some)
}

/// What the process reads.
pub fn stdin(stdin: bool, once: bool) -> ProcessStdin {
    match (stdin, once) {
        (false, _) => ProcessStdin::Closed,
        (true, true) => ProcessStdin::Once,
        (true, false) => ProcessStdin::Kept,
    }
}

/// Where the process leaves its last words.
pub fn message_path(annotations: &BTreeMap<String, String>) -> Result<Option<String>> {
    let path = annotations.get(MESSAGE_PATH).filter(|path| !path.is_empty());
    path.map(|path| absolute(path.clone(), "terminationMessagePath")).transpose()
}

/// The signal that asks the process to stop, without `SIG`.
pub fn stop_signal(signal: i32) -> Result<Option<String>> {
    let signal = Signal::try_from(signal)
        .map_err(|_| Error::invalid(format!("stop_signal {signal} is not a signal of the protocol")))?;
    if signal == Signal::RuntimeDefault {
        return Ok(None);
    }
    let name = signal.as_str_name().trim_start_matches("SIG");
    Ok(Some(name.replace("PLUS", "+").replace("MINUS", "-")))
}

fn absolute(path: String, field: &str) -> Result<String> {
    // A guest whose paths begin with a drive has others refused when the process is started, and the other way round.
    let on_a_drive =
        matches!(path.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    if (path.starts_with('/') || on_a_drive) && !path.contains('\0') {
        return Ok(path);
    }
    Err(Error::invalid(format!("{field} {path:?} is not an absolute path in the guest")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &[u8])]) -> Vec<KeyValue> {
        list.iter().map(|(key, value)| KeyValue { key: (*key).into(), value: value.to_vec() }).collect()
    }

    #[test]
    fn what_no_process_can_have_is_refused() {
        assert!(argv(vec![String::new()]).unwrap_err().to_string().contains("name a program"));
        assert!(argv(vec!["a".into(), "b\0".into()]).unwrap_err().to_string().contains("NUL"));
        assert!(env(variables(&[("a=b", b"")])).unwrap_err().to_string().contains("\"a=b\""));
        for value in [&b"secret\0"[..], b"secret\xff"] {
            let error = env(variables(&[("A", value)])).unwrap_err().to_string();
            assert!(error.contains("variable A") && !error.contains("secret"), "{error}");
        }
        assert!(working_dir("x".into()).unwrap_err().to_string().contains("working_dir \"x\""));
        assert!(stop_signal(999).is_err());
    }

    #[test]
    fn what_a_process_can_have_is_kept() {
        let odd = vec![("my.var-1".to_owned(), "line\n'\"$x".to_owned()), ("E".to_owned(), String::new())];
        assert_eq!(env(variables(&[("my.var-1", b"line\n'\"$x"), ("E", b"")])).unwrap(), odd);
        assert_eq!(argv(vec!["sh".into(), String::new()]).unwrap(), ["sh", ""]);
        assert_eq!(working_dir(String::new()).unwrap(), None);
        assert_eq!(working_dir(r"C:\app".into()).unwrap().as_deref(), Some(r"C:\app"));
        assert_eq!(stdin(true, true), ProcessStdin::Once);
        assert_eq!(stdin(false, true), ProcessStdin::Closed);
        assert_eq!(stop_signal(Signal::RuntimeDefault.into()).unwrap(), None);
        assert_eq!(stop_signal(Signal::Sigquit.into()).unwrap().as_deref(), Some("QUIT"));
        assert_eq!(stop_signal(Signal::Sigrtminplus3.into()).unwrap().as_deref(), Some("RTMIN+3"));
        let annotations = BTreeMap::from([(MESSAGE_PATH.to_owned(), "/dev/termination-log".to_owned())]);
        assert_eq!(message_path(&annotations).unwrap().as_deref(), Some("/dev/termination-log"));
    }
}
