//! Machines that ran before Kubernetes came are pods: one that speaks SSH, and two that speak `WinRM`.

use tests::{Machine, Speaks};

use crate::{Fixture, MOMENT};

const MACHINES: [(&str, &str, Speaks); 3] = [
    ("ssh", "192.0.2", Speaks::Ssh),
    ("tls", "198.51.100", Speaks::Https),
    ("sealed", "203.0.113", Speaks::Http),
];

#[test]
fn machines_that_run_are_pods_whatever_they_speak() {
    let folder = tempfile::tempdir().unwrap();
    let inventory = folder.path().join("fleet.toml");
    std::fs::write(&inventory, "").unwrap();
    let config = format!(
        "[handlers.vm]\nprovider = \"qemu\"\n[handlers.vm-fleet]\nprovider = \"fleet\"\n[providers.fleet]\nkind = \"fleet\"\n\
         inventory = \"{}\"\n",
        inventory.display()
    );
    let Some(fixture) = Fixture::with(&config) else { return };
    let mut entries = Vec::new();
    let machines = MACHINES.map(|(name, network, speaks)| {
        let secret = folder.path().join(name);
        let machine = Machine::beside(fixture.cluster.node().namespace(), network, speaks, &secret);
        let entry = machine.entry(machine.proof(), &secret);
        entries.push(format!("[[machine]]\nname = \"{name}\"\n{entry}log = \"file:/run/app.log\"\n"));
        (name, machine)
    });
    std::fs::write(&inventory, entries.concat()).unwrap();
    let before = machines.each_ref().map(|(_, machine)| machine.state());

    let manifests = MACHINES.map(|(name, ..)| manifest(name)).concat();
    fixture.cluster.kubectl().apply(&format!("{RUNTIME_CLASS}{manifests}")).unwrap();
    for (name, machine) in &machines {
        fixture.wait(name, "condition=Ready");
        fixture.is_the_machine(name, machine);
    }
    // What is changed follows.
    let changed = r#"{"stringData": {"password": "changed"}}"#;
    fixture.kubectl(&["patch", "secret", "keys", "--patch", changed]);
    for (name, _) in &machines {
        let shown = ["exec", name, "-c", "machine", "--", "cat", "/run/keys/password"];
        fixture.until(MOMENT, &shown, |text| text == "changed");
    }
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
    for ((_, machine), before) in machines.iter().zip(&before) {
        machine.says("rm -rf /run/app.log /run/copied");
        machine.becomes(before);
    }
    fixture.nothing_left();
}

impl Fixture {
    fn is_the_machine(&self, pod: &str, machine: &Machine) {
        let exec =
            |command: &[&str]| self.kubectl(&[&["exec", pod, "-c", "machine", "--"], command].concat());
        assert_eq!(exec(&["hostname"]).trim(), pod);
        assert_eq!(exec(&["cat", "/run/keys/password"]), "hunter2");
        let failed = self.cluster.kubectl().run(&["exec", pod, "-c", "machine", "--", "sh", "-c", "exit 3"]);
        assert!(format!("{:#}", failed.unwrap_err()).contains("exit code 3"));
        let mut talk =
            self.cluster.kubectl().talk(&["exec", "-i", pod, "-c", "machine", "--", "tr", "a-z", "A-Z"]);
        talk.types("as it comes\n");
        talk.hangs_up();
        let (shown, status) = talk.ends(MOMENT);
        assert!(status.success() && shown == b"AS IT COMES\n", "{status}: {shown:?}");

        // Its own log, and that of the process beside it.
        exec(&["sh", "-c", "echo a line of the log >>/run/app.log"]);
        self.until(MOMENT, &["logs", pod, "-c", "machine"], |log| log.contains("a line of the log"));
        self.until(MOMENT, &["logs", pod, "-c", "worker"], |log| log == "the worker has hunter2\n");

        // Files are copied both ways.
        let folder = tempfile::tempdir().unwrap();
        let (from, back) = (folder.path().join("from"), folder.path().join("back"));
        let bytes: Vec<u8> =
            (0..300_003_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        std::fs::write(&from, &bytes).unwrap();
        let there = format!("{pod}:/run/copied");
        self.kubectl(&["cp", "-c", "machine", from.to_str().unwrap(), &there]);
        self.kubectl(&["cp", "-c", "machine", &there, back.to_str().unwrap()]);
        assert!(std::fs::read(&back).unwrap() == bytes, "the bytes are the same");

        // Its address is the pod's, and its port is forwarded.
        let address = self.of_pod(pod, ".status.podIP");
        assert_eq!(self.page(&format!("http://{address}/")), machine.page());
        let forward = ["port-forward", &format!("pod/{pod}"), "18080:80", "--address=127.0.0.1"];
        let mut talk = self.cluster.kubectl().talk(&forward);
        talk.shows("Forwarding from 127.0.0.1:18080 -> 80", MOMENT);
        assert_eq!(self.page("http://127.0.0.1:18080/"), machine.page());
    }
}

const RUNTIME_CLASS: &str = "apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: { name: vm-fleet }
handler: vm-fleet
scheduling:
  tolerations: [{ key: infranetes.io/vm, operator: Exists }]
---
apiVersion: v1
kind: Secret
metadata: { name: keys }
stringData: { password: hunter2 }
";

fn manifest(name: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  runtimeClassName: vm-fleet
  containers:
    - name: machine
      image: fleet/{name}
      readinessProbe:
        exec: {{ command: [test, -s, /run/keys/password] }}
        periodSeconds: 1
        timeoutSeconds: 10
      livenessProbe:
        httpGet: {{ path: /, port: 80 }}
        periodSeconds: 2
        timeoutSeconds: 10
      volumeMounts: [{{ name: keys, mountPath: /run/keys }}]
    - name: worker
      image: fleet/{name}
      command: [sh, -c, 'echo the worker has $(cat /run/own/password); exec sleep 100000']
      volumeMounts: [{{ name: keys, mountPath: /run/own }}]
  volumes:
    - name: keys
      secret: {{ secretName: keys }}
"
    )
}
