//! A Deployment of machines behind a Service, over its life: scaled, drained, rolled out and back, deleted.

use std::time::Instant;

use crate::{Fixture, MOMENT};

/// How long a drain tries what a budget forbids.
const DRAIN: &str = "--timeout=8s";

#[test]
fn a_deployment_is_scaled_drained_and_rolled_out() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.applies("web");
    fixture.rolled_out(WEB);
    fixture.has_its_files();
    fixture.serve("/", &["hello from mini\n"]);

    fixture.kubectl(&["scale", WEB, "--replicas=2"]);
    fixture.rolled_out(WEB);
    fixture.serve("/html/", &["the pages of the ConfigMap\n"; 2]);
    fixture.a_budget_holds_while_the_node_is_drained();

    fixture.kubectl(&["scale", WEB, "--replicas=1"]);
    fixture.until(MOMENT, NAMES, |names| names.lines().count() == 1);
    fixture.what_cannot_be_pulled_replaces_nothing();
    fixture.another_image_replaces_the_first_and_back();
    fixture.deletes("web");
    fixture.nothing_left();
}

/// The Deployment.
const WEB: &str = "deployment/web";
/// The names of its pods.
const NAMES: &[&str] = &["get", "pods", "-l", "app=web", "-o", "name"];

impl Fixture {
    /// What the pods behind the Service answer, each at its own address.
    fn pages(&self, path: &str) -> Vec<String> {
        let of_service = ["get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o"];
        let ready = "jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.addresses[0]} {end}";
        let addresses = self.kubectl(&[&of_service[..], &[ready]].concat());
        addresses.split_whitespace().map(|address| self.page(&format!("http://{address}{path}"))).collect()
    }

    fn has_its_files(&self) {
        let exec = |command: &[&str]| self.kubectl(&[&["exec", WEB, "--"], command].concat());
        assert_eq!(exec(&["cat", "/etc/web/key"]), "correct horse battery staple");
        assert_eq!(exec(&["stat", "-L", "-c", "%a", "/etc/web/key"]), "400\n");
        assert_eq!(exec(&["cat", "/var/www/html/index.html"]), "the pages of the ConfigMap\n");
    }

    /// One of two may go, the other one stays until there are two again: there are none while nobody may be scheduled.
    fn a_budget_holds_while_the_node_is_drained(&self) {
        self.kubectl(&["create", "pdb", "web", "--selector=app=web", "--min-available=1"]);
        let allowed = ["get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"];
        self.until(MOMENT, &allowed, |allowed| allowed == "1");
        let drain = ["drain", "node", "--pod-selector=app=web", "--ignore-daemonsets", DRAIN];
        let refused = format!("{:#}", self.cluster.kubectl().run(&drain).unwrap_err());
        assert!(refused.contains("would violate the pod's disruption budget"), "{refused}");
        self.until(MOMENT, &allowed, |allowed| allowed == "0");
        self.serve("/", &["hello from mini\n"]);
        self.kubectl(&["uncordon", "node"]);
        self.rolled_out(WEB);
        self.until(MOMENT, &allowed, |allowed| allowed == "1");
        self.kubectl(&["delete", "pdb", "web"]);
    }

    fn what_cannot_be_pulled_replaces_nothing(&self) {
        let before = self.kubectl(NAMES);
        let absent = format!("web={}", self.image().replace("mini", "nowhere"));
        self.kubectl(&["set", "image", WEB, &absent]);
        let reasons = "jsonpath={.items[*].status.containerStatuses[0].state.waiting.reason}";
        self.until(MOMENT, &["get", "pods", "-l", "app=web", "-o", reasons], |reasons| {
            reasons.contains("ImagePull")
        });
        self.serve("/", &["hello from mini\n"]);
        self.kubectl(&["rollout", "undo", WEB]);
        self.rolled_out(WEB);
        self.until(MOMENT, NAMES, |names| names == before);
    }

    fn another_image_replaces_the_first_and_back(&self) {
        let other = format!("web={}", self.image().replace("mini", "dropbear"));
        self.kubectl(&["set", "image", WEB, &other]);
        self.rolled_out(WEB);
        self.serve("/", &["hello from dropbear\n"]);
        self.kubectl(&["rollout", "undo", WEB]);
        self.rolled_out(WEB);
        self.serve("/", &["hello from mini\n"]);
    }

    /// Waits until the pods behind the Service are as many as these pages, and answer them.
    fn serve(&self, path: &str, wanted: &[&str]) {
        let deadline = Instant::now() + MOMENT;
        loop {
            let pages = self.pages(path);
            if pages == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "not {wanted:?}: {pages:?}");
        }
    }
}
