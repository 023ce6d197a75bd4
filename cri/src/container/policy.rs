//! Which containers this runtime takes. Pure: a request in, a yes or the reason why not out.

use crate::error::{Error, Result};

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
    fn stray_logs_are_refused() {
        assert_eq!(log_path("app/0.log".into()).unwrap(), "app/0.log");
        assert!(log_path("/etc/x".into()).is_err());
        assert!(log_path("a/../../x".into()).unwrap_err().to_string().contains("a/../../x"));
    }
}
