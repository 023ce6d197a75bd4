//! What a guest refuses, by the codes of its faults.

/// The most characters kept of what the guest said.
const SAID_MAX_CHARS: usize = 300;

/// Nothing happened within the operation's time: ask again.
const TIMED_OUT: u32 = 2_150_858_793;
/// The shell is not there (any more).
const NO_SHELL: u32 = 2_150_858_843;
/// The shell's user has had as many operations as may be; commands count until their shell is deleted.
const USED_UP: [u32; 3] = [0x8033_81a6, 0x8033_81e8, 0x8033_81e9];
/// As many shells of the user as may be, or as many processes of the shell.
const QUOTA: [u32; 6] = [0x8033_81a5, 0x8033_81a7, 0x8033_81a8, 0x8033_81e4, 1816, 0x8007_0718];
/// Windows' own error for an operation that was broken off, bare or as an `HRESULT`.
const ABORTED: [u32; 2] = [995, 0x8007_03e3];
/// Windows' own errors for a program that is not there, bare or as an `HRESULT`.
const NO_PROGRAM: [u32; 4] = [2, 3, 0x8007_0002, 0x8007_0003];
/// Windows' own errors for a program that cannot be run as it is asked for: none of this machine's, too long a line, no
/// such directory, only for administrators. Bare or as an `HRESULT`.
const UNFIT: [u32; 10] =
    [193, 206, 216, 267, 740, 0x8007_00c1, 0x8007_00ce, 0x8007_00d8, 0x8007_010b, 0x8007_02e4];
/// How a request is refused as it stands.
const REFUSED: [&str; 6] = [
    "SchemaValidationError",
    "InvalidOptions",
    "InvalidParameter",
    "InvalidValue",
    "MustUnderstand",
    "ActionNotSupported",
];
/// Windows' own errors for a command that is not there, bare or as an `HRESULT`.
const NO_COMMAND: [u32; 4] = [87, 1168, 0x8007_0057, 0x8007_0490];
/// Windows' own error for what still has to do with the request before, bare or as an `HRESULT`.
const BUSY: [u32; 2] = [170, 0x8007_00aa];
/// The user may not do this.
const DENIED: [u32; 2] = [5, 0x8007_0005];
/// An envelope above the guest's limit.
const TOO_LONG: [u32; 2] = [0x8033_8035, 0x8033_8048];

/// An error that a guest answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    code: Option<u32>,
    kind: String,
    said: String,
}

impl Fault {
    /// A fault of this code and kind (without its namespace); what the guest said of it is cleaned and bounded.
    pub(super) fn new(code: Option<u32>, kind: String, said: &str) -> Self {
        let words: Vec<&str> = said
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        Self { code, kind, said: words.join(" ").chars().take(SAID_MAX_CHARS).collect() }
    }

    fn is(&self, codes: &[u32]) -> bool {
        self.code.is_some_and(|code| codes.contains(&code))
    }

    /// Nothing has happened yet.
    pub(super) fn timed_out(&self) -> bool {
        self.is(&[TIMED_OUT]) || self.kind == "TimedOut"
    }

    /// The shell is gone.
    pub(super) fn no_shell(&self) -> bool {
        self.is(&[NO_SHELL]) || (self.code.is_none() && self.kind == "InvalidSelectors")
    }

    /// The shell takes no further command, ever.
    pub(super) fn used_up(&self) -> bool {
        self.is(&USED_UP)
    }

    /// The operation was broken off in the guest, for a reason that the next one will learn.
    pub(super) fn aborted(&self) -> bool {
        self.is(&ABORTED)
    }

    /// The request was not looked at, for the one before is still being carried out.
    pub(super) fn busy(&self) -> bool {
        self.is(&BUSY)
    }

    /// There is no such program.
    pub(super) fn no_program(&self) -> bool {
        self.is(&NO_PROGRAM)
    }

    /// The request was refused as it stands, and will always be.
    pub(super) fn refused(&self) -> bool {
        self.is(&UNFIT) || self.too_long() || REFUSED.contains(&self.kind.as_str())
    }

    /// What was to be ended is not there.
    pub(super) fn not_there(&self) -> bool {
        self.no_shell() || self.is(&NO_COMMAND)
    }

    /// The user has too many shells, or the shell too many processes.
    pub(super) fn quota(&self) -> bool {
        self.is(&QUOTA) || (self.kind == "QuotaLimit" && !self.used_up())
    }

    /// The user has no right to it.
    pub(super) fn denied(&self) -> bool {
        self.is(&DENIED) || self.kind == "AccessDenied"
    }

    /// The request was longer than the guest takes.
    pub(super) fn too_long(&self) -> bool {
        self.is(&TOO_LONG) || self.kind == "EncodingLimit"
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.said.as_str() {
            "" => f.write_str(if self.kind.is_empty() { "an error without a word" } else { &self.kind })?,
            said => f.write_str(said)?,
        }
        match self.code {
            Some(code) => write!(f, " (0x{code:08x})"),
            None => Ok(()),
        }
    }
}
