//! Which containers this runtime takes. Pure: a request in, a yes or the reason why not out.

use crate::error::{Error, Result};

/// A container without a command is the machine itself; one with a command would be a process in the guest.
pub fn machine_only(command: &[String], args: &[String]) -> Result<()> {
    let Some(first) = command.iter().chain(args).next() else { return Ok(()) };
    Err(Error::invalid(format!(
        "the container has a command ({first:?}), and processes in the guest are not supported yet; leave `command` \
         and `args` out: the container is then the machine itself"
    )))
}

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
    fn a_command_is_refused_with_the_way_out() {
        assert!(machine_only(&[], &[]).is_ok());
        let error = machine_only(&["sleep".into()], &[]).unwrap_err().to_string();
        assert!(error.contains("\"sleep\"") && error.contains("leave `command` and `args` out"), "{error}");
        assert!(machine_only(&[], &["-x".into()]).is_err());
    }

    #[test]
    fn devices_and_stray_logs_are_refused() {
        assert!(devices(0).is_ok());
        assert!(devices(2).unwrap_err().to_string().contains("2 device(s)"));
        assert_eq!(log_path("app/0.log".into()).unwrap(), "app/0.log");
        assert!(log_path("/etc/x".into()).is_err());
        assert!(log_path("a/../../x".into()).unwrap_err().to_string().contains("a/../../x"));
    }
}
