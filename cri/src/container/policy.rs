//! Which containers this runtime takes. Pure: a request in, a yes or the reason why not out.

use crate::error::{Error, Result};

/// A device of the node is not one of the machine.
pub fn devices(count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the container asks for {count} device(s) of the node, which cannot be attached to a machine yet; remove \
         `devices`"
    )))
}

/// The log stays below the pod's log directory.
pub fn log_path(path: String) -> Result<String> {
    let outside = path.starts_with('/') || path.split('/').any(|part| part == "..");
    if outside {
        return Err(Error::invalid(format!(
            "log_path {path:?} is not below the pod's log directory; make it relative"
        )));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_stray_logs_are_refused() {
        assert!(devices(0).is_ok());
        assert!(devices(2).unwrap_err().to_string().contains("2 device(s)"));
        assert_eq!(log_path("app/0.log".into()).unwrap(), "app/0.log");
        assert!(log_path("/etc/x".into()).is_err());
        assert!(log_path("a/../../x".into()).unwrap_err().to_string().contains("a/../../x"));
    }
}
