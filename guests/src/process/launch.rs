//! The script that becomes the program (`sh/launch.sh`), with what is asked before it and the environment after it.
//!
//! The environment is set by the last lines only, for it may hold names that a shell obeys. What a shell cannot carry (a
//! name that is no identifier, or one that it changes by itself) is set by perl or python3, which read it from a file
//! that is unlinked by then; where the guest has neither, by `env`, for a moment in its arguments.

use transports::quote;

use super::spec::ProcessSpec;

/// Reads `NAME=VALUE NUL` from file descriptor 8, and becomes its arguments.
const PERL: &str = "open F, '<&=8'; { local $/ = \"\\0\"; while (<F>) { chomp; my ($k, $v) = split /=/, $_, 2; \
                    $ENV{$k} = $v } } close F; exec { $ARGV[0] } @ARGV; my $e = $!; print STDERR \"$ARGV[0]: $e\\n\"; \
                    exit($!{ENOENT} ? 127 : 126)";
const PYTHON: &str = "import os, sys
for e in open(8, 'rb').read().split(b'\\0')[:-1]:
    k, v = e.split(b'=', 1)
    os.environb[k] = v
a = [os.fsencode(s) for s in sys.argv[1:]]
try:
    os.execvp(a[0], a)
except OSError as e:
    sys.stderr.write('%s: %s\\n' % (sys.argv[1], e.strerror))
    sys.exit(127 if isinstance(e, FileNotFoundError) else 126)";

/// The search path of a process that does not ask for one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names that some shell changes, reads or refuses by itself.
const SPECIAL: [&str; 21] = [
    "_",
    "UID",
    "EUID",
    "PPID",
    "GROUPS",
    "SHELLOPTS",
    "OPTIND",
    "OPTERR",
    "RANDOM",
    "SRANDOM",
    "SECONDS",
    "LINENO",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
    "FUNCNAME",
    "DIRSTACK",
    "HISTCMD",
    "PIPESTATUS",
    "IFS",
    "SHLVL",
    "POSIXLY_CORRECT",
];

fn word(text: &str) -> String {
    quote::posix(&[text.to_owned()])
}

/// Whether every shell hands a variable of this name on as it is.
fn plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !SPECIAL.contains(&name)
        && !name.starts_with("BASH")
        && !name.starts_with("COMP_")
}

/// The whole script. It does nothing at all where its end is missing.
pub(super) fn render(spec: &ProcessSpec, script: &str) -> String {
    let ProcessSpec { argv, env, working_dir, user, stdin: _, tty, limits: _, .. } = spec;
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let groups: Vec<String> = user.groups.iter().map(ToString::to_string).collect();
    let asked = [
        ("user", user.name.clone().unwrap_or_default()),
        ("uid", number(user.uid)),
        ("gid", number(user.gid)),
        ("groups", groups.join(",")),
        ("strict", if user.strict { "1".into() } else { String::new() }),
        ("capabilities", spec.capabilities.words()),
        ("workdir", working_dir.clone().unwrap_or_else(|| "/".into())),
        ("message", spec.message_path.clone().unwrap_or_default()),
        ("privileges", if spec.no_new_privileges { "1".into() } else { String::new() }),
    ];
    let mut text = String::from("{\n");
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for (name, value) in asked {
        line(format!("{name}={}", word(&value)));
    }
    line("d=$1 id=$2 inside=".into());
    line(format!("if [ $# -gt 2 ]; then shift 2; inside=1; else set -- {}; fi", quote::posix(argv)));
    // Perl complains of a locale that the guest lacks, unless it is set after its start.
    let locale = |name: &str| name.starts_with("LC_") || name.starts_with("LANG");
    let carried = env.iter().all(|(name, _)| plain(name));
    let (exported, odd): (Vec<_>, Vec<_>) =
        env.iter().partition(|(name, _)| plain(name) && (carried || !locale(name)));
    if !odd.is_empty() {
        let pairs: Vec<String> = odd.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pairs = quote::posix(&pairs);
        line("if t=$(command -v perl) || t=$(command -v python3); then".into());
        line(format!("printf '%s\\0' {pairs} >\"$d/odd.$$\" && exec 8<\"$d/odd.$$\" && rm -f \"$d/odd.$$\""));
        line(format!("case $t in *perl) set -- \"$t\" -e {} -- \"$@\" ;;", word(PERL)));
        line(format!("*) set -- \"$t\" -c {} \"$@\" ;; esac", word(PYTHON)));
        line(format!("else set -- \"$(command -v env)\" {pairs} \"$@\"; fi"));
    }
    line(script.to_owned());
    line("export \"$mark\" HOME=\"$home\"".into());
    line(format!("export PATH={}", word(PATH)));
    if *tty {
        line("export TERM=xterm".into());
    }
    for (name, value) in exported {
        // A shell may complain of a locale that the guest lacks.
        line(format!("export {name}={} 2>/dev/null", word(value)));
    }
    line("exec \"$@\"".into());
    text.push('}');
    text
}
