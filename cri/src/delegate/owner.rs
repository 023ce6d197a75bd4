//! Whose a call is, by what is known of it. Nothing here asks anybody.

use std::collections::BTreeSet;

/// One of both runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// This daemon.
    Ours,
    /// The delegate.
    Theirs,
}

/// What a call says of an image.
#[derive(Debug, Default)]
pub(super) struct Image<'a> {
    /// The runtime handler; a kubelet names none unless a feature of it is on.
    pub(super) handler: &'a str,
    /// Whether the name can only mean an image of ours.
    pub(super) named_ours: bool,
}

/// Whose the pods of a handler are.
pub(super) fn of_handler(delegated: &BTreeSet<String>, handler: &str) -> Side {
    if delegated.contains(handler) { Side::Theirs } else { Side::Ours }
}

/// Whose the pod or container is whose id begins so, as one of ours does; nobody's where one of theirs does, too.
pub(super) fn of_beginning(beginning: &str, theirs: impl Iterator<Item = String>) -> Option<Side> {
    let mut side = Some(Side::Ours);
    for id in theirs.filter(|id| !beginning.is_empty() && id.starts_with(beginning)) {
        if id == beginning {
            return Some(Side::Theirs);
        }
        side = None;
    }
    side
}

/// Whose the image is that is to be pulled: the pod's that it is for, where the call names one.
pub(super) fn of_pull(delegated: &BTreeSet<String>, image: &Image, pod_is_ours: Option<bool>) -> Side {
    match pod_is_ours {
        _ if image.named_ours => Side::Ours,
        _ if !image.handler.is_empty() => of_handler(delegated, image.handler),
        Some(true) => Side::Ours,
        Some(false) => Side::Theirs,
        None => of_handler(delegated, ""),
    }
}

/// Whose the image is that may be there: ours if we have it.
pub(super) fn of_present(delegated: &BTreeSet<String>, image: &Image, here: bool) -> Side {
    if image.named_ours {
        Side::Ours
    } else if !image.handler.is_empty() {
        of_handler(delegated, image.handler)
    } else if here {
        Side::Ours
    } else {
        Side::Theirs
    }
}

/// Whether the image is to be removed on both sides: it is on both, and nothing else tells whose is meant.
pub(super) fn is_of_both(image: &Image, side: Side, is_there: bool) -> bool {
    side == Side::Ours && is_there && image.handler.is_empty() && !image.named_ours
}

#[cfg(test)]
mod tests {
    use super::Side::{Ours, Theirs};
    use super::*;

    fn delegated() -> BTreeSet<String> {
        ["", "runc"].map(str::to_owned).into()
    }

    #[test]
    fn handlers_are_told_apart_by_the_configuration() {
        for (handler, side) in [("", Theirs), ("runc", Theirs), ("vm", Ours), ("not configured", Ours)] {
            assert_eq!(of_handler(&delegated(), handler), side, "{handler:?}");
        }
    }

    #[test]
    fn the_beginning_of_ids_of_both_is_nobodys() {
        let of = |beginning| of_beginning(beginning, ["1abc", "1a", "2b"].map(str::to_owned).into_iter());
        assert_eq!(of("1"), None);
        assert_eq!(of("1ab"), None);
        assert_eq!(of("1a"), Some(Theirs), "that is all of it");
        assert_eq!(of("3"), Some(Ours));
        assert_eq!(of(""), Some(Ours), "none is for us to refuse");
    }

    #[test]
    fn a_pull_is_whose_the_pod_is_unless_it_names_a_handler() {
        let pull = |handler, named_ours, pod| of_pull(&delegated(), &Image { handler, named_ours }, pod);
        assert_eq!(pull("", false, Some(true)), Ours);
        assert_eq!(pull("", false, Some(false)), Theirs);
        assert_eq!(pull("vm", false, Some(false)), Ours);
        assert_eq!(pull("runc", false, Some(true)), Theirs);
        assert_eq!(pull("runc", true, Some(false)), Ours);
        assert_eq!(pull("", false, None), Theirs);
        assert_eq!(of_pull(&["runc".to_owned()].into(), &Image::default(), None), Ours);
    }

    #[test]
    fn a_removal_is_of_both_where_nothing_names_a_side() {
        let both = |handler, named_ours, side, there| is_of_both(&Image { handler, named_ours }, side, there);
        assert!(both("", false, Ours, true));
        assert!(!both("", false, Ours, false), "they do not have it");
        assert!(!both("", false, Theirs, true), "we do not have it");
        assert!(!both("vm", false, Ours, true) && !both("", true, Ours, true));
    }

    #[test]
    fn a_question_is_theirs_unless_we_have_the_image() {
        let present =
            |handler, named_ours, here| of_present(&delegated(), &Image { handler, named_ours }, here);
        assert_eq!(present("", false, true), Ours);
        assert_eq!(present("", false, false), Theirs);
        assert_eq!(present("", true, false), Ours);
        assert_eq!(present("runc", false, true), Theirs);
        assert_eq!(present("vm", false, false), Ours);
        assert_eq!(of_present(&["runc".to_owned()].into(), &Image::default(), false), Theirs);
    }
}
