//! A guest asks the API server as a container does: by the address in its environment, with the token and the authority that are
//! files of its own, for a user of whom the guest has never heard.

use crate::Fixture;

/// What a program in a container does to read its own pod.
const CLIENT: &str = r#"
import json, os, ssl, urllib.error, urllib.request

account = "/var/run/secrets/kubernetes.io/serviceaccount/"
read = lambda name: open(account + name).read()
server = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]

def get(path):
    request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + read("token")})
    trusted = ssl.create_default_context(cafile=account + "ca.crt")
    return json.load(urllib.request.urlopen(request, context=trusted, timeout=60))

pods = "/api/v1/namespaces/" + read("namespace") + "/pods/"
print(get(pods + os.uname().nodename)["status"]["podIP"])
try:
    get("/api/v1/nodes")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["message"])
"#;

#[test]
fn a_guest_asks_the_api_server_with_the_token_of_its_account() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image().replace("mini", "cloud"))).unwrap();
    fixture.wait("app", "condition=Ready");
    let asked = fixture.kubectl(&["exec", "app", "--", "python3", "-c", CLIENT]);
    let (address, refused) = asked.split_once('\n').unwrap();
    assert_eq!(address, fixture.of_pod("app", ".status.podIP"));
    // It is known, and may do no more than its roles say.
    assert!(refused.starts_with("403 "), "{asked}");
    assert!(refused.contains("system:serviceaccount:default:default"), "{asked}");

    // What is not its own it reads by the group that the pod gives to its files.
    let exec = |script: &str| fixture.kubectl(&["exec", "app", "--", "sh", "-c", script]);
    assert_eq!(exec("id -u; stat -L -c '%a %u %g' /etc/keys/password"), "1234\n440 0 4711\n");
    assert_eq!(exec("cat /etc/keys/password"), "hunter2");
    assert_eq!(exec("echo mine >/scratch/file; stat -c '%u %g' /scratch/file"), "1234 4711\n");
}

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: reader }}
rules: [{{ apiGroups: [''], resources: [pods], verbs: [get] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: reader }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }}
subjects: [{{ kind: ServiceAccount, name: default, namespace: default }}]
---
apiVersion: v1
kind: Secret
metadata: {{ name: keys }}
stringData: {{ password: hunter2 }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: app }}
spec:
  runtimeClassName: vm
  securityContext: {{ runAsUser: 1234, fsGroup: 4711 }}
  volumes:
    - name: keys
      secret: {{ secretName: keys, defaultMode: 0400 }}
    - name: scratch
      emptyDir: {{}}
  containers:
    - name: app
      image: {image}
      command: [sleep, '100000']
      volumeMounts:
        - {{ name: keys, mountPath: /etc/keys }}
        - {{ name: scratch, mountPath: /scratch }}
      # It is told to run before its guest has booted.
      readinessProbe:
        exec: {{ command: ['true'] }}
        periodSeconds: 1
        timeoutSeconds: 10
"
    )
}
