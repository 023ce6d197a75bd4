//! Copies of single files into a guest and out of it, as long as they may be.
//!
//! ```text
//!   upload:    hash of the file --> the guest tells what part it has --the rest--> length, hash --rename--> there
//!   download:  the guest tells length and hash --> what part is here --the rest--> length, hash --rename--> here
//! ```
//!
//! One command carries a copy: a program in the guest that receives or gives, told the rest by its standard input. So it
//! is as fast as the session's input and output are.
//!
//! - Happy path: the bytes go once, and readers see the old file or the new one, never a mixture.
//! - The copy is broken off: what has arrived stays beside the file, named by the hash of the whole
//!   (`NAME.0123456789abcdef.part`), and the next copy of the same content goes on from there. Whoever gives that up removes
//!   it.
//! - The whole has another hash, for the part was damaged: it is thrown away, and the copy is made once more from the
//!   beginning. A file that changes while it is read is [`Error::Ended`], and nothing is put in the old one's place.
//! - A disk that is full: the part is removed, and the guest's own words are the error.
//! - A guest without `sha256sum` (Unix) or `PowerShell` (Windows): [`Error::Unsupported`] or what its session says.

mod part;
mod program;
mod talk;

use std::path::Path;
use std::time::Duration;

use transports::Session;

use crate::{Error, Family, Result};
use part::{Part, Whole};
use program::Program;
use talk::Talk;

/// How long the guest may take to hash a file, or a part of one.
const HASHING: Duration = Duration::from_secs(15 * 60);
/// How long a copy may make no progress at all.
const STALL: Duration = Duration::from_secs(120);

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The bytes of the file.
    pub bytes: u64,
    /// How many of them were there already, from a copy that was broken off.
    pub resumed_at: u64,
}

/// How one attempt has ended.
enum Attempt {
    Done(Copied),
    /// What came together is not the file; nothing of it is left.
    Differs {
        resumed_at: u64,
    },
}

/// Copies a file of this machine to an absolute path in the guest, whose folder is there. On Linux it gets these permissions
/// and belongs to who logs in, or to root where the login may be that; on Windows it has what its folder passes on, or what
/// the file had that was there.
pub async fn upload(
    session: &dyn Session,
    family: Family,
    from: &Path,
    to: &str,
    mode: u32,
) -> Result<Copied> {
    let whole = Whole::of(from).await?;
    let program = Program::receiving(family, to, whole.bytes, &whole.hash, mode)?;
    again(to, async || put(session, &program, &whole, to).await).await
}

/// Copies a file of the guest, of no more than so many bytes, to a path of this machine.
pub async fn download(
    session: &dyn Session,
    family: Family,
    from: &str,
    to: &Path,
    most_bytes: u64,
) -> Result<Copied> {
    let program = Program::giving(family, from)?;
    again(from, async || get(session, &program, from, to, most_bytes).await).await
}

/// Attempts it, and once more where a part that was there is of no use.
async fn again(path: &str, attempt: impl AsyncFn() -> Result<Attempt>) -> Result<Copied> {
    for _ in 0..2 {
        match attempt().await? {
            Attempt::Done(copied) => return Ok(copied),
            Attempt::Differs { resumed_at: 0 } => break,
            Attempt::Differs { resumed_at } => {
                tracing::debug!(path, resumed_at, "a part of a file is damaged: all of it is copied");
            }
        }
    }
    Err(Error::Ended(format!("{path} changed while it was copied: copy it again once nobody writes to it")))
}

async fn put(session: &dyn Session, program: &Program, whole: &Whole, to: &str) -> Result<Attempt> {
    let mut talk = Talk::begin(session, program, to).await?;
    let resumed_at = talk.told("part", HASHING).await?;
    let resumed_at = Some(resumed_at).filter(|at| *at <= whole.bytes).ok_or_else(|| talk.nonsense())?;
    let mut file = whole.from(resumed_at).await?;
    // A program that takes no more says why.
    while let Some(piece) = file.next().await? {
        if !talk.give(piece, STALL).await? {
            break;
        }
    }
    talk.end_input();
    let answer = talk.line(HASHING).await?;
    let attempt = match answer.split_once(' ') {
        None if answer == "done" => Attempt::Done(Copied { bytes: whole.bytes, resumed_at }),
        None if answer == "differs" => Attempt::Differs { resumed_at },
        Some(("short", bytes)) if bytes.parse::<u64>().is_ok() => {
            let all = whole.bytes;
            return Err(Error::Ended(format!(
                "only {bytes} of {all} bytes of {to} have arrived: the next copy goes on from there"
            )));
        }
        _ => return Err(talk.nonsense()),
    };
    talk.end(STALL).await?;
    Ok(attempt)
}

async fn get(
    session: &dyn Session,
    program: &Program,
    from: &str,
    to: &Path,
    most_bytes: u64,
) -> Result<Attempt> {
    let mut talk = Talk::begin(session, program, from).await?;
    let told = talk.line(HASHING).await?;
    let (bytes, hash) = told
        .strip_prefix("file ")
        .and_then(|told| told.split_once(' '))
        .and_then(|(bytes, hash)| Some((bytes.parse::<u64>().ok()?, part::hash(hash)?)))
        .ok_or_else(|| talk.nonsense())?;
    if bytes > most_bytes {
        return Err(Error::Unsupported(format!(
            "{from} has {bytes} bytes, and no more than {most_bytes} are taken: free space here, or copy less"
        )));
    }
    let mut part = Part::open(to, bytes, hash).await?;
    let resumed_at = part.bytes();
    talk.give(format!("{resumed_at}\n").into(), STALL).await?;
    talk.end_input();
    while let Some(piece) = talk.next(STALL).await? {
        if !part.write(&piece).await? {
            break;
        }
    }
    if part.bytes() <= bytes {
        talk.end(STALL).await?;
    }
    // All that the guest has given is here. It may have had more, or less, than it said before: then the file has changed.
    Ok(if part.finish().await? {
        Attempt::Done(Copied { bytes, resumed_at })
    } else {
        Attempt::Differs { resumed_at }
    })
}
