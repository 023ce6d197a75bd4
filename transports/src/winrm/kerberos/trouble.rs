//! Why the domain, or a guest, says no: the numbers of RFC 4120 in a person's words, with the remedy.
//!
//! The library has the text of an error on the thread that met it alone, so all of this is to be called there.

use libgssapi::error::Error;

/// The library's numbers are the protocol's, from here on.
const BASE: i32 = -1_765_328_384;

/// The most characters of what the library says.
const LONGEST: usize = 300;

/// What the library has for a controller whose clock is another one.
const KDC_REPLY_SKEW: i32 = 148;

/// What the library has for errors beside those of the protocol: no domain controller answers, none is known for the realm (by
/// the configuration, by DNS).
const NO_ANSWER: [i32; 3] = [156, 154, 220];

/// Errors of the programming interface: no such tickets, tickets that are over.
const NO_CREDENTIAL: [u32; 2] = [7 << 16, 11 << 16];

/// Where those stand.
const ROUTINE: u32 = 0x00ff_0000;

/// Why there is no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The user is not let in.
    Denied(String),
    /// Anything else; it may go better later.
    Failed(String),
}

impl Trouble {
    /// What an error of the domain means.
    pub(super) fn of(error: Error) -> Self {
        Self::from(error.minor, &error.to_string())
    }

    /// What an error means where the node's own tickets were to be taken.
    pub(super) fn of_node(error: Error) -> Self {
        match Self::of(error) {
            Self::Failed(said) if NO_CREDENTIAL.contains(&(error.major.bits() & ROUTINE)) => {
                Self::Denied(format!(
                    "this node has no ticket for the user: give a password, or let it get tickets (kinit, a keytab for clients): \
                     {said}"
                ))
            }
            other => other,
        }
    }

    fn from(minor: u32, text: &str) -> Self {
        let said = clean(text);
        let denied = |why: &str| Self::Denied(format!("{why} ({said})"));
        let failed = |why: &str| Self::Failed(format!("{why} ({said})"));
        match number(minor) {
            6 => denied("asked the domain, which knows no such user"),
            1 | 18 => denied("asked the domain, where the account is disabled, expired or locked out"),
            23 => denied("asked the domain, where the password has expired"),
            24 | 31 => denied("asked the domain with a password that is wrong"),
            7 => failed(
                "the domain knows no such service: give `host-name` as the domain has it, or register it there (setspn -S)",
            ),
            37 | KDC_REPLY_SKEW => {
                failed("the clocks of this node and the domain differ too much: set them by one source")
            }
            14 => failed("the domain has no cipher in common with this node: let the accounts have AES keys"),
            number if NO_ANSWER.contains(&number) => {
                failed("no domain controller answers: see the realm in /etc/krb5.conf, and the network")
            }
            _ => Self::Failed(said),
        }
    }
}

/// Why a guest did not take a ticket, as it says.
pub(super) fn of_guest(error: Error) -> String {
    let why = match number(error.minor) {
        37 => "its clock is not the domain's: set it by the same source",
        32 | 33 => "for the guest it is not valid now: its clock, or this node's, is wrong",
        31 | 35 | 41 => "the guest has no key for it: give `host-name` as the domain has the guest",
        _ => return format!("{} ({})", unknown(), said(error)),
    };
    format!("{why} ({})", said(error))
}

/// What it may be where it does not say.
pub(super) fn unknown() -> String {
    "either that is not the guest's name in the domain (`host-name`), or its clock is not the domain's, or it does not let the \
     user in"
        .to_owned()
}

/// Words of ours without what the library says, which may name the user.
pub(super) fn unnamed(why: &str) -> String {
    why.split_once(" (").map_or("for a reason that names the user", |(ours, _)| ours).to_owned()
}

/// What the library says of an error.
pub(super) fn said(error: Error) -> String {
    clean(&error.to_string())
}

/// The number of the protocol, or of the library beyond those.
fn number(minor: u32) -> i32 {
    minor.cast_signed().wrapping_sub(BASE)
}

/// What the library says, on one line and bounded; of what is around it only where there is nothing within.
fn clean(text: &str) -> String {
    let within = text.trim().strip_suffix(')').and_then(|rest| rest.split_once(" ("));
    let text = within.map_or(text, |(_, within)| within);
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: i32) -> Trouble {
        let text =
            "Unspecified GSS failure.  Minor code may provide more information (Clock skew (too) great)";
        Trouble::from((BASE + number).cast_unsigned(), text)
    }

    #[test]
    fn numbers_have_words_and_the_library_its_say() {
        let skew = "the clocks of this node and the domain differ too much: set them by one source";
        assert_eq!(of(37), Trouble::Failed(format!("{skew} (Clock skew (too) great)")));
        for number in [1, 6, 18, 23, 24, 31] {
            assert!(matches!(of(number), Trouble::Denied(why) if why.contains("the domain")), "{number}");
        }
        assert!(matches!(of(156), Trouble::Failed(why) if why.contains("krb5.conf")));
        assert_eq!(of(60), Trouble::Failed("Clock skew (too) great".into()));
        assert_eq!(clean("No credentials were supplied\nat all"), "No credentials were supplied at all");
        assert_eq!(clean(&"x".repeat(1000)).len(), LONGEST);
    }
}
