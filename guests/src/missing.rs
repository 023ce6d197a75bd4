//! What to do about a program that a guest lacks, where people run it without having chosen it.

use crate::Family;

/// The codes by which sessions and shells say that there is no such program: POSIX's, and that of Windows' `cmd`.
const NO_SUCH_PROGRAM: [i32; 2] = [127, 9009];

/// What to do where a command has ended with this code because the guest has no `tar`, by which files are copied.
pub fn remedy(family: Family, argv: &[String], code: i32) -> Option<&'static str> {
    let program = argv.first()?.rsplit(['/', '\\']).next()?;
    let is_tar = program.eq_ignore_ascii_case("tar") || program.eq_ignore_ascii_case("tar.exe");
    if !is_tar || !NO_SUCH_PROGRAM.contains(&code) {
        return None;
    }
    Some(match family {
        Family::Unix => {
            "the guest has no tar, by which files are copied: install it there, or write a single file by the input of a \
             command (cat >FILE)"
        }
        Family::Windows => {
            "the guest has no tar, by which files are copied; Windows has it from Windows 10 1803 and Server 2019 on: put a \
             tar.exe into a folder of its PATH, or give it the files as a volume of the pod"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tar_that_is_not_there_has_a_remedy() {
        let argv = |program: &str| vec![program.to_owned(), "cf".to_owned(), "-".to_owned()];
        for program in ["tar", "/usr/bin/tar", "C:\\bin\\TAR.EXE"] {
            assert!(remedy(Family::Windows, &argv(program), 9009).is_some(), "{program}");
            assert!(remedy(Family::Unix, &argv(program), 127).is_some(), "{program}");
            assert!(remedy(Family::Unix, &argv(program), 2).is_none(), "{program}");
        }
        assert!(remedy(Family::Unix, &argv("bsdtar"), 127).is_none());
        assert!(remedy(Family::Unix, &[], 127).is_none());
    }
}
