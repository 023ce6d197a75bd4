//! Scripts for the guest's `sh`, with the rights of root where the guest gives them without a password.
//!
//! A script is one argument of `sh -c`, and what it works on are further arguments: nothing is ever pasted into it.

use transports::{Command, Stdin};

/// Runs the script in its first argument, through `sudo -n` where the user is not root and may. On an emulated processor each
/// program costs milliseconds, so Linux itself is asked who this is.
const PRIVILEGED: &str = r#"script=$1 u=
shift
while read -r k x y z; do if [ "$k" = Uid: ]; then u=$y; break; fi; done </proc/self/status
if [ "${u:-$(id -u)}" != 0 ] && sudo -n true </dev/null >/dev/null 2>&1; then
  exec sudo -n sh -c "$script" sh "$@"
fi
eval "$script"
"#;

/// What a script begins with that only root may run; `refuse` ends it with `U` and why.
pub(crate) const ROOT: &str = include_str!("root.sh");

/// The command that runs `script` with `arguments` as `$1`, `$2`, ...
pub(crate) fn privileged(script: &str, arguments: &[&str], stdin: Stdin) -> Command {
    let script = compact(script);
    let fixed = ["sh", "-c", PRIVILEGED, "sh", &script];
    let argv = fixed.iter().chain(arguments).map(ToString::to_string).collect();
    Command { argv, stdin }
}

/// What a script begins with that is only run as long as something holds: a script, and the one argument that it takes away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard<'a> {
    pub(crate) text: &'static str,
    pub(crate) argument: &'a str,
}

impl Guard<'_> {
    /// [`privileged`], for as long as it holds.
    pub(crate) fn privileged(&self, script: &str, arguments: &[&str], stdin: Stdin) -> Command {
        privileged(&format!("{}{script}", self.text), &[&[self.argument], arguments].concat(), stdin)
    }
}

/// The script without its comments and indentation: a server may take no long command (dropbear: 9000 bytes).
pub(crate) fn compact(script: &str) -> String {
    let lines = script.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::{compact, privileged};
    use transports::Stdin;

    #[test]
    fn comments_and_indentation_are_not_sent() {
        assert_eq!(compact("# why\na=1\nif b; then\n  # c\n  d '#'\nfi\n"), "a=1\nif b; then\nd '#'\nfi\n");
    }

    #[test]
    fn a_small_server_takes_every_script() {
        for script in [include_str!("log/file.sh"), include_str!("log/journal.sh")] {
            let command =
                privileged(script, &["/var/log/messages", "1234567", "1234567", "64", "12345"], Stdin::Piped);
            let length: usize = command.argv.iter().map(String::len).sum();
            assert!(length < 6000, "{length} bytes, before quoting");
        }
    }
}
