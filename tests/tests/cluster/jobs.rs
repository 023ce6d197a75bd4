//! Work that comes to an end: in steps beside a sidecar, again and again, and in vain.

use crate::{BOOT, Fixture, MOMENT};

#[test]
fn jobs_come_to_an_end() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.applies("nightly");
    fixture.steps_share_files_and_a_sidecar_ends_with_them();
    fixture.a_schedule_makes_jobs();
    fixture.what_fails_is_tried_again_in_a_new_pod_and_given_up();
    fixture.until(MOMENT, &["get", "pods", "-o", "name"], str::is_empty);
    fixture.nothing_left();
}

impl Fixture {
    fn steps_share_files_and_a_sidecar_ends_with_them(&self) {
        self.applies("report");
        self.wait_for("job/report", "condition=Complete");
        let logs = |container: &str| self.kubectl(&["logs", "job/report", "-c", container]);
        assert_eq!(logs("sum"), "the sum is 5050\n");
        assert_eq!(logs("fetch"), "");
        assert!(logs("progress").starts_with("fetched\n"), "the sidecar saw the first step");
        let pod = self.kubectl(&[
            "get",
            "pods",
            "-l",
            "job-name=report",
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ]);
        let ended = |statuses: &str, part: &str| {
            self.of_pod(&pod, &format!(".status.{statuses}[*].state.terminated.{part}"))
        };
        assert_eq!(self.of_pod(&pod, ".status.phase"), "Succeeded");
        assert_eq!(ended("containerStatuses", "reason"), "Completed");
        let codes = ended("initContainerStatuses", "exitCode");
        assert!(codes.starts_with("0 "), "the first step: {codes}");
        let restarts = self.of_pod(&pod, ".status.initContainerStatuses[*].restartCount");
        assert_eq!(restarts, "0 0", "a sidecar that is told to stop is not started again");
        self.deletes("report");
    }

    fn a_schedule_makes_jobs(&self) {
        let done = ["get", "cronjob", "nightly", "-o", "jsonpath={.status.lastSuccessfulTime}"];
        self.until(BOOT, &done, |time| !time.is_empty());
        let all = ["get", "jobs", "-o", "jsonpath={.items[?(@.status.succeeded==1)].metadata.name}"];
        // The newest: an older one may be removed as soon as another one is done.
        let job = format!("job/{}", self.kubectl(&all).split_whitespace().next_back().unwrap());
        assert_eq!(self.kubectl(&["logs", &job]), "the night is over\n");
        self.deletes("nightly");
    }

    fn what_fails_is_tried_again_in_a_new_pod_and_given_up(&self) {
        self.cluster.kubectl().apply(&failing(&self.image())).unwrap();
        self.wait_for("job/vain", "condition=Failed");
        let of_job =
            |path: &str| self.kubectl(&["get", "job", "vain", "-o", &format!("jsonpath={{{path}}}")]);
        assert_eq!(of_job(r#".status.conditions[?(@.type=="Failed")].reason"#), "BackoffLimitExceeded");
        assert_eq!(of_job(".status.failed"), "2");
        let of_pods = |path: &str| {
            let path = format!("jsonpath={{.items[*].{path}}}");
            self.kubectl(&["get", "pods", "-l", "job-name=vain", "-o", &path])
        };
        assert_eq!(of_pods("status.containerStatuses[0].state.terminated.exitCode"), "42 42");
        assert_eq!(of_pods("status.containerStatuses[0].state.terminated.message"), "in vain in vain");
        let addresses = of_pods("metadata.uid");
        let (first, second) = addresses.split_once(' ').unwrap();
        assert_ne!(first, second, "each try has a machine of its own");
        self.kubectl(&["delete", "job", "vain", "--cascade=foreground", "--timeout=80s"]);
    }
}

fn failing(image: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata:
  name: vain
spec:
  backoffLimit: 1
  template:
    spec:
      runtimeClassName: vm
      restartPolicy: Never
      containers:
        - name: step
          image: {image}
          command: [sh, -c, 'printf \"in vain\" >/dev/termination-log; exit 42']
"
    )
}
