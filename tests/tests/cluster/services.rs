//! Services of VM pods: one address and one name, whichever pods are behind them.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{BOOT, Fixture, MOMENT};

/// How often somebody asks to learn who answers.
const ASKED: usize = 12;

#[test]
fn a_service_leads_to_its_pods_from_the_node_and_from_guests() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image())).unwrap();
    fixture.rolled_out("deployment/web");
    fixture.rolled_out("statefulset/db");
    let address = fixture.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let url = format!("http://{address}/name");
    let first = fixture.pods().pop_first().unwrap();
    let one = BTreeSet::from([first.clone()]);
    fixture.answers(&one, || fixture.ask_from_node(&url));
    // The address leads a guest back to itself, too.
    assert_eq!(fixture.ask_from(&first, &url).unwrap(), first);

    // Names: a Service's, and one that a pod has for good.
    for name in ["web", "web.default", "web.default.svc.cluster.local"] {
        assert_eq!(fixture.ask_from("db-0", &format!("http://{name}/name")).unwrap(), first);
    }
    for name in ["db-0.db", "db-0.db.default.svc.cluster.local"] {
        assert_eq!(fixture.ask_from(&first, &format!("http://{name}/name")).unwrap(), "db-0");
    }
    let nobodys = fixture.ask_from("db-0", "http://nowhere.default.svc.cluster.local/name");
    assert!(format!("{:#}", nobodys.unwrap_err()).contains("bad address"));

    fixture.kubectl(&["scale", "deployment/web", "--replicas=2"]);
    fixture.rolled_out("deployment/web");
    let both = fixture.pods();
    assert_eq!(both.len(), 2, "{both:?}");
    fixture.answers(&both, || fixture.ask_from_node(&url));
    fixture.answers(&both, || fixture.ask_from(&first, &url));

    fixture.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    let deadline = Instant::now() + MOMENT;
    while fixture.pods().len() > 1 {
        assert!(Instant::now() < deadline, "{:?} are left of one", fixture.pods());
    }
    let old = fixture.pods();
    fixture.answers(&old, || fixture.ask_from_node(&url));

    // While a machine takes the place of another one, somebody answers always.
    fixture.kubectl(&["rollout", "restart", "deployment/web"]);
    let deadline = Instant::now() + BOOT;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 || !fixture.pods().is_disjoint(&old) {
        assert!(Instant::now() < deadline, "only {seen:?} have answered");
        seen.insert(fixture.ask_from_node(&url).unwrap());
    }
    assert!(seen.is_superset(&old), "{seen:?} have answered, but not {old:?}");
    fixture.answers(&fixture.pods(), || fixture.ask_from_node(&url));

    assert!(fixture.rules().contains(&address), "kube-proxy has no rules for {address}");
    let all = "deployment,statefulset,service";
    fixture.kubectl(&["delete", all, "-l", "tier=test", "--cascade=foreground", "--timeout=80s"]);
    let deadline = Instant::now() + MOMENT;
    while fixture.rules().contains(&address) {
        assert!(Instant::now() < deadline, "rules for {address} are left:\n{}", fixture.rules());
    }
    fixture.nothing_left();
}

impl Fixture {
    /// The names of the Deployment's pods, without those on their way out.
    fn pods(&self) -> BTreeSet<String> {
        let staying =
            "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}";
        let names =
            self.kubectl(&["get", "pods", "-l", "app=web", "-o", "go-template", "--template", staying]);
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until exactly these answer.
    fn answers(&self, wanted: &BTreeSet<String>, ask: impl Fn() -> Result<String>) {
        let deadline = Instant::now() + MOMENT;
        loop {
            let answers: Result<BTreeSet<_>> = (0..ASKED).map(|_| ask()).collect();
            if answers.as_ref().is_ok_and(|answers| answers == wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{answers:?} instead of {wanted:?}\n{}", self.rules());
        }
    }

    /// What a web server answers the node.
    fn ask_from_node(&self, url: &str) -> Result<String> {
        let mut client = self.cluster.node().namespace().command("timeout");
        let output = client.args(["20", "busybox", "wget", "-qO-", url]).output()?;
        ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What a web server answers the guest of a pod.
    fn ask_from(&self, pod: &str, url: &str) -> Result<String> {
        let client = ["exec", pod, "--", "timeout", "20", "wget", "-qO-", url];
        Ok(self.cluster.kubectl().run(&client)?.trim().to_owned())
    }

    /// The rules of kube-proxy.
    fn rules(&self) -> String {
        let mut list = self.cluster.node().namespace().command("nft");
        let output = list.args(["list", "table", "ip", "kube-proxy"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A Deployment and a `StatefulSet` whose web servers tell the name of their pod.
fn manifest(image: &str) -> String {
    let pod = format!(
        "spec:
      runtimeClassName: vm
      containers:
        - name: machine
          image: {image}
          lifecycle:
            postStart: {{ exec: {{ command: [sh, -c, 'hostname >/var/www/name'] }} }}
            # Who asks a Service is sent elsewhere by then.
            preStop: {{ sleep: {{ seconds: 10 }} }}
          readinessProbe:
            httpGet: {{ path: /name, port: 80 }}
            periodSeconds: 1
            timeoutSeconds: 10
"
    );
    let labels = |app: &str| format!("metadata: {{ labels: {{ app: {app} }} }}");
    format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: web, labels: {{ tier: test }} }}
spec:
  selector: {{ app: web }}
  ports: [{{ port: 80 }}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, labels: {{ tier: test }} }}
spec:
  replicas: 1
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    {}
    {pod}
---
apiVersion: v1
kind: Service
metadata: {{ name: db, labels: {{ tier: test }} }}
spec:
  clusterIP: None
  selector: {{ app: db }}
  ports: [{{ port: 80 }}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{ name: db, labels: {{ tier: test }} }}
spec:
  serviceName: db
  selector: {{ matchLabels: {{ app: db }} }}
  template:
    {}
    {pod}
",
        labels("web"),
        labels("db")
    )
}
