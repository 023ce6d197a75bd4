//! Scripts for the guest's `sh`, with the rights of root where the guest gives them without a password.
//!
//! A script is one argument of `sh -c`, and what it works on are further arguments: nothing is ever pasted into it.

use transports::{Command, Stdin};

/// Runs the script in its first argument, through `sudo -n` where the user is not root and may.
const PRIVILEGED: &str = r#"script=$1
shift
if [ "$(id -u)" != 0 ] && sudo -n true </dev/null >/dev/null 2>&1; then
  exec sudo -n sh -c "$script" sh "$@"
fi
exec sh -c "$script" sh "$@"
"#;

/// The command that runs `script` with `arguments` as `$1`, `$2`, ...
pub(crate) fn privileged(script: &str, arguments: &[&str], stdin: Stdin) -> Command {
    let fixed = ["sh", "-c", PRIVILEGED, "sh", script];
    let argv = fixed.iter().chain(arguments).map(ToString::to_string).collect();
    Command { argv, stdin }
}
