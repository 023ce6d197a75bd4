//! The private line by which the remote shell tells its process group, and where a program's own output begins.
//!
//! A login shell's start-up files may print before the command runs, on both streams. So the script that starts a
//! program prints a marker on each stream first, made for this one command from the operating system's randomness;
//! what comes before it is noise, what comes after it is the program's. The two halves of the marker stand apart in the
//! command line, so that a shell which traces (`set -x`) does not print it by accident.
//!
//! ```text
//!   noise* marker PID KIND \n | program's stdout ...      noise* marker \n | program's stderr ...
//! ```
//!
//! - Happy path: both streams pass their marker; [`Marker::leader`] is known.
//! - Failures: the streams end without a marker (a `ForceCommand` or a login shell that runs nothing), or there is more
//!   noise than [`NOISE_MAX_BYTES`].

use bytes::{Bytes, BytesMut};
use rand::Rng;

use crate::{Error, Result};

/// The most bytes of noise that are read over on one stream.
const NOISE_MAX_BYTES: usize = 1024 * 1024;

/// The bytes of noise kept for the error message (and a marker that arrives in pieces).
const NOISE_KEPT_BYTES: usize = 1024;

/// Puts this shell's process group into `_i1`, from the fourth field on of its stat line; leaves it as it is without
/// `/proc`. A shell reads the line byte by byte, so this takes as long as starting it.
pub(super) const GROUP: &str = "read -r _i2 </proc/$$/stat && _i2=${_i2##*) } && _i2=${_i2#* } && _i2=${_i2#* } && \
                                _i1=${_i2%% *}";

/// Which processes are killed with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leader {
    /// The process group of this number.
    Group(u32),
    /// This process and its descendants: the guest has no `setsid` and gave the command no group of its own.
    Tree(u32),
    /// Every process of the session of this number: a terminal's shell gives each of its jobs a group of its own.
    Session(u32),
}

impl Leader {
    /// The command line that keeps them stopped until its input ends; none without a group.
    pub(super) fn hold_line(self) -> Option<String> {
        match self {
            Self::Group(id) => {
                Some(format!("exec /bin/sh -c 'kill -STOP -{id}; read -r _i1; kill -CONT -{id}'"))
            }
            Self::Tree(_) | Self::Session(_) => None,
        }
    }

    /// The command line that kills them all, through whatever login shell.
    pub(super) fn kill_line(self) -> String {
        match self {
            Self::Group(id) => {
                format!("exec /bin/sh -c 'kill -9 -{id} 2>/dev/null || kill -9 {id} 2>/dev/null'")
            }
            // In passes, for a process may have had further children meanwhile. Without `/proc` the group is all that is
            // known of it.
            Self::Session(id) => format!(
                "exec /bin/sh -c 'kill -9 -{id} 2>/dev/null; for n in 1 2 3 4 5; do k=; for f in /proc/[0-9]*/stat; do \
                 read -r l 2>/dev/null <$f || continue; set -- ${{l##*) }}; if [ \"$4$1\" = {id}Z ]; then continue; fi; if [ \"$4\" = {id} ]; then \
                 p=${{f#/proc/}}; kill -9 ${{p%/stat}} 2>/dev/null; k=y; fi; done; [ $k ] || break; done'"
            ),
            // Stopped first, so that it has no further children while they are looked for.
            Self::Tree(id) => format!(
                "exec /bin/sh -c 't(){{ kill -STOP $1; for f in /proc/[0-9]*/stat; do read -r l <$f || continue; \
                 r=${{l##*) }}; r=${{r#* }}; p=${{f#/proc/}}; if [ \"${{r%% *}}\" = $1 ]; then (t ${{p%/stat}}); fi; \
                 done; kill -9 $1; }}; t {id} 2>/dev/null'"
            ),
        }
    }
}

/// The marker of one command.
#[derive(Debug)]
pub(super) struct Marker {
    halves: [String; 2],
}

impl Marker {
    pub(super) fn new() -> Self {
        let mut random = rand::rng();
        Self { halves: [(); 2].map(|()| format!("{:016x}", random.random::<u64>())) }
    }

    /// The script that tells the group and becomes the program in `"$@"`.
    pub(super) fn script(&self) -> String {
        let [first, second] = &self.halves;
        format!(
            "_i1=; {GROUP}; _i3=; _i4=g; case $_i1 in $$|\"\") ;; *) if command -v setsid >/dev/null; then _i3=setsid; \
             else _i4=t; fi;; esac; _i1={first}; _i2={second}; echo \"$_i1$_i2 $$ $_i4\"; echo \"$_i1$_i2\" >&2; \
             exec $_i3 \"$@\""
        )
    }

    /// The same for a shell that is known to lead its group: where it is does not have to be read in the guest.
    pub(super) fn leaders_script(&self) -> String {
        let [first, second] = &self.halves;
        format!("_i1={first}; _i2={second}; echo \"$_i1$_i2 $$ g\"; echo \"$_i1$_i2\" >&2; exec \"$@\"")
    }

    /// The same for a command on a terminal: there is one stream, and the session is told instead of the group.
    pub(super) fn terminal_script(&self) -> String {
        let [first, second] = &self.halves;
        format!(
            "_i1=$$; read -r _i2 </proc/$$/stat && _i2=${{_i2##*) }} && _i2=${{_i2#* }} && _i2=${{_i2#* }} && \
             _i2=${{_i2#* }} && _i1=${{_i2%% *}}; _i3={first}; _i2={second}; echo \"$_i3$_i2 $_i1 s\"; exec \"$@\""
        )
    }

    fn text(&self) -> String {
        self.halves.concat()
    }
}

/// One stream up to its marker.
#[derive(Debug)]
struct Side {
    marker: String,
    kept: BytesMut,
    noise: usize,
    /// What stood on the marker's line behind it.
    told: Option<String>,
}

impl Side {
    fn new(marker: &str) -> Self {
        Self { marker: marker.to_owned(), kept: BytesMut::new(), noise: 0, told: None }
    }

    /// Takes output; gives what belongs to the program.
    fn take(&mut self, data: Bytes) -> Result<Bytes> {
        if self.told.is_some() {
            return Ok(data);
        }
        self.noise += data.len();
        self.kept.extend_from_slice(&data);
        let found = self.kept.windows(self.marker.len()).position(|window| window == self.marker.as_bytes());
        if let Some(start) = found {
            let line = start + self.marker.len();
            if let Some(length) = self.kept[line..].iter().position(|&byte| byte == b'\n') {
                self.told = Some(String::from_utf8_lossy(&self.kept[line..line + length]).trim().to_owned());
                return Ok(self.kept.split_off(line + length + 1).freeze());
            }
        }
        if self.noise > NOISE_MAX_BYTES {
            return Err(Error::Invalid(format!(
                "the guest's login shell printed more than {NOISE_MAX_BYTES} bytes before the command: silence its \
                 start-up files"
            )));
        }
        // A marker that has begun is never cut: it is shorter than what is kept.
        if self.kept.len() > 2 * NOISE_KEPT_BYTES {
            self.kept = self.kept.split_off(self.kept.len() - NOISE_KEPT_BYTES);
        }
        Ok(Bytes::new())
    }
}

/// Both streams of one command.
#[derive(Debug)]
pub(super) struct Preamble {
    stdout: Side,
    stderr: Side,
}

impl Preamble {
    pub(super) fn new(marker: &Marker) -> Self {
        let text = marker.text();
        Self { stdout: Side::new(&text), stderr: Side::new(&text) }
    }

    /// Takes standard output; gives what is the program's.
    pub(super) fn stdout(&mut self, data: Bytes) -> Result<Bytes> {
        self.stdout.take(data)
    }

    /// Takes standard error; gives what is the program's.
    pub(super) fn stderr(&mut self, data: Bytes) -> Result<Bytes> {
        self.stderr.take(data)
    }

    /// Whom to kill, once the program is about to start.
    pub(super) fn leader(&self) -> Option<Leader> {
        let (id, kind) = self.stdout.told.as_deref()?.split_once(' ')?;
        let id = id.parse().ok().filter(|&id: &u32| id > 1)?;
        Some(match kind {
            "t" => Leader::Tree(id),
            "s" => Leader::Session(id),
            _ => Leader::Group(id),
        })
    }

    /// What was printed instead of a marker, for the error message.
    pub(super) fn noise(&self) -> String {
        let mut bytes = self.stderr.kept.to_vec();
        bytes.push(b' ');
        bytes.extend_from_slice(&self.stdout.kept);
        super::client::clean(&String::from_utf8_lossy(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(preamble: &mut Preamble, pieces: &[String]) -> String {
        let mut program = Vec::new();
        for piece in pieces {
            program.extend_from_slice(&preamble.stdout(Bytes::from(piece.clone())).unwrap());
        }
        String::from_utf8(program).unwrap()
    }

    #[test]
    fn noise_is_cut_off_however_the_marker_arrives() {
        for size in [1, 2, 7, 64, 100_000] {
            let marker = Marker::new();
            let mut preamble = Preamble::new(&marker);
            let text =
                format!("welcome!\n{}no newline{} 77 g\nhello\nworld", "x\n".repeat(5000), marker.text());
            let pieces: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
                .collect();
            assert_eq!(passed(&mut preamble, &pieces), "hello\nworld", "pieces of {size}");
            assert_eq!(preamble.leader(), Some(Leader::Group(77)));
        }
    }

    #[test]
    fn a_shell_that_traces_its_command_does_not_give_the_marker_away() {
        let marker = Marker::new();
        let line = crate::quote::command_line(&marker.script(), &["true".into()]).unwrap();
        assert!(!line.contains(&marker.text()));
    }

    #[test]
    fn a_guest_cannot_make_us_kill_everything() {
        for told in ["0 g", "1 g", "-1 g", "x g", "1 t", "1 s", ""] {
            let marker = Marker::new();
            let mut preamble = Preamble::new(&marker);
            preamble.stdout(Bytes::from(format!("{} {told}\n", marker.text()))).unwrap();
            assert_eq!(preamble.leader(), None, "{told}");
        }
    }

    #[test]
    fn noise_is_bounded_and_told() {
        let mut preamble = Preamble::new(&Marker::new());
        preamble.stderr(Bytes::from_static(b"This account is\nnot available.\n")).unwrap();
        assert_eq!(preamble.noise(), "This account is not available.");
        let mut preamble = Preamble::new(&Marker::new());
        let megabyte = Bytes::from(vec![b'y'; NOISE_MAX_BYTES]);
        preamble.stdout(megabyte.clone()).unwrap();
        assert!(preamble.stdout(megabyte).is_err());
    }
}
