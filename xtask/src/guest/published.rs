//! Under which names a guest stands in a registry, and what its image's configuration says there.
//!
//! A sample guest is `guests/NAME:latest`. The guest of critest stands in for all of the container images that critest pulls,
//! by their upstream names: its specs name no others. So does the root of containers, for a runtime that runs containers.
//! Images that have to be different ones have the same disk or root and another title.

use super::{CONTAINERS, CRITEST};

/// One image of a registry: the same disk or root may be several.
#[derive(Debug)]
pub(super) struct Published {
    /// The repository without a registry's host.
    pub(super) repository: String,
    /// The tags that all mean this image.
    pub(super) tags: &'static [&'static str],
    /// The user that the image's configuration names.
    pub(super) user: Option<&'static str>,
    /// What tells it from another image with the same disk or root.
    pub(super) title: Option<&'static str>,
    /// What a container of it starts by itself; nothing where it is a machine, which boots.
    pub(super) command: &'static [&'static str],
}

/// The repositories whose images may be one and the same, as containers of one pod: a machine has one image.
const ONE: &[(&str, &str)] = &[
    ("e2e-test-images/busybox", "1.29-2"),
    ("e2e-test-images/httpd", "2.4.39-4"),
    ("e2e-test-images/nginx", "1.14-2"),
];

/// Repository, tags, user.
const OTHERS: &[(&str, &[&str], Option<&str>)] = &[
    ("pause", &["3.9"], None),
    ("k8s-staging-cri-tools/test-image-1", LATEST, None),
    ("k8s-staging-cri-tools/test-image-2", LATEST, None),
    ("k8s-staging-cri-tools/test-image-3", LATEST, None),
    ("k8s-staging-cri-tools/test-image-latest", LATEST, None),
    ("k8s-staging-cri-tools/test-image-predefined-group", LATEST, Some("1000")),
    ("k8s-staging-cri-tools/test-image-tag", &["test"], None),
    ("k8s-staging-cri-tools/test-image-tag", &["all"], None),
    ("k8s-staging-cri-tools/test-image-tags", &["1", "2", "3"], None),
    ("k8s-staging-cri-tools/test-image-user-uid", LATEST, Some("1002")),
    ("k8s-staging-cri-tools/test-image-user-uid-group", LATEST, Some("1003:1004")),
    ("k8s-staging-cri-tools/test-image-user-username", LATEST, Some("www-data")),
    ("k8s-staging-cri-tools/test-image-user-username-group", LATEST, Some("www-data:1004")),
];

const LATEST: &[&str] = &["latest"];

/// The image that containerd makes the first container of each pod from, in the version that we build. An image of its own:
/// critest counts the tags of the other `pause`.
const SANDBOX: (&str, &[&str]) = ("pause", &["3.10.2"]);

/// The images that a guest is published as.
pub(super) fn of(guest: &str) -> Vec<Published> {
    match guest {
        CRITEST => upstream(),
        CONTAINERS => {
            let (repository, tags) = SANDBOX;
            let mut images = upstream();
            images.push(Published {
                repository: repository.to_owned(),
                tags,
                user: None,
                title: Some("sandbox"),
                command: &[],
            });
            for image in &mut images {
                image.command = command(&image.repository);
            }
            images
        }
        guest => {
            let repository = super::push::repository(guest);
            vec![Published { repository, tags: LATEST, user: None, title: None, command: &[] }]
        }
    }
}

/// The images that critest pulls.
fn upstream() -> Vec<Published> {
    let one = ONE.iter().map(|(repository, tag)| Published {
        repository: (*repository).to_owned(),
        tags: std::slice::from_ref(tag),
        user: None,
        title: None,
        command: &[],
    });
    let others = OTHERS.iter().map(|(repository, tags, user)| Published {
        repository: (*repository).to_owned(),
        tags,
        user: *user,
        // Tags of one repository may mean different images.
        title: Some(if tags[0] == "latest" { repository } else { tags[0] }),
        command: &[],
    });
    one.chain(others).collect()
}

/// What a container of an image starts.
fn command(repository: &str) -> &'static [&'static str] {
    match repository {
        // The name by which a spec looks for it.
        "e2e-test-images/httpd" | "e2e-test-images/nginx" => &["sh", "/bin/serve", "master process"],
        // The first process of a pod's containers: it reaps those that lose their parents.
        "pause" => &["catatonit", "-P"],
        _ => &["sh"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sample_guest_has_one_name() {
        let published = of("mini");
        assert_eq!(published.len(), 1);
        assert_eq!((published[0].repository.as_str(), published[0].tags), ("guests/mini", LATEST));
    }

    #[test]
    fn images_that_have_to_differ_do() {
        let others: Vec<_> = of(CRITEST).into_iter().filter(|image| image.title.is_some()).collect();
        let distinct: BTreeSet<_> = others.iter().map(|image| (image.title, image.user)).collect();
        assert_eq!((distinct.len(), others.len()), (OTHERS.len(), OTHERS.len()));
    }

    #[test]
    fn containers_have_the_same_names_and_start_something() {
        let names = |guest| -> BTreeSet<_> {
            let tagged =
                |image: Published| image.tags.iter().map(move |tag| (image.repository.clone(), *tag));
            of(guest).into_iter().flat_map(tagged).collect()
        };
        let further: Vec<_> = names(CONTAINERS).difference(&names(CRITEST)).cloned().collect();
        assert_eq!(further, [("pause".to_owned(), SANDBOX.1[0])]);
        assert!(names(CRITEST).is_subset(&names(CONTAINERS)));
        assert!(of(CONTAINERS).iter().all(|image| !image.command.is_empty()));
        assert!(of(CRITEST).iter().all(|image| image.command.is_empty()));
    }
}
