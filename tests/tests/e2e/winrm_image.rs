//! An image of a disk that only `WinRM` leads into, as a pod: QEMU boots it, and everything goes over that protocol.
//!
//! ```text
//!   the image `mini`, less its SSH server, plus the tests' WinRM server as a service of it, with a certificate that is part
//!   of the image --import--> infranetes.local/legacy/winrm:1 --pod--> exec, log, process, Secret, restart, shutdown
//! ```
//!
//! It is Linux inside, for there is no Windows to be had. What leads into a guest and what drives it are two things, so this
//! proves the first for machines of QEMU; the second is proved where scripts of Windows are.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::Node;

use crate::client::{Client, pod};
use crate::fleet;

const NAME: &str = "legacy/winrm:1";
const IMAGE: &str = "infranetes.local/legacy/winrm:1";
const PASSWORD: &str = "pass wörd 2";
/// Where the only partition of `mini` begins, in bytes.
const PARTITION: u32 = 1 << 20;
/// What init keeps running. The server has its own libraries with it, so the guest's may be others.
const SERVICE: &str = "#!/bin/sh\nexec /winrm/ld.so --library-path /winrm /winrm/winrm-peer --listen 0.0.0.0:5986 \
                       --certificate /winrm/certificate --password-file /winrm/password\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_speaks_winrm_is_a_pod_of_a_machine() {
    crate::within(600, image()).await;
}

async fn image() {
    let folder = tempfile::tempdir().unwrap();
    let proof = certificate(folder.path());
    let disk = disk(folder.path());
    let config = format!(
        "[timeouts]\nstart-wait-seconds = 110\n[[image]]\npattern = \"infranetes.local/legacy/winrm:*\"\n\
         facts.transport = \"winrm\"\nfacts.certificates = [\"{proof}\"]\nfacts.user = \"Administrator\"\n\
         facts.credential = {{ password-file = \"{}\" }}\nfacts.log = \"file:/var/log/app.log\"\n",
        folder.path().join("password").display()
    );
    let (mut node, mut client) = crate::node_with(&config).await;
    import(&node, &disk);
    let before = node.inventory().unwrap();

    let pod_id = client.run_pod(&pod("winrm", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", IMAGE).await.unwrap();
    client.start(&id).await.unwrap();
    let answer = client.exec(&id, &["sh", "-c", "echo err >&2; exit 7"], 0).await.unwrap();
    assert_eq!((answer.exit_code, &answer.stderr[..]), (7, &b"err\n"[..]));
    assert_eq!(client.output(&id, &["hostname"]).await, "winrm");
    let address = client.pod_status(&pod_id).await.unwrap().network.unwrap().ip;
    let addresses = client.output(&id, &["ip", "-4", "addr", "show", "eth0"]).await;
    assert!(addresses.contains(&address), "the guest has the pod IP {address}: {addresses}");
    let mut ssh = node.namespace().command("busybox");
    let ssh = ssh.args(["nc", "-w", "5", &address, "22"]).stdin(Stdio::null()).output().unwrap();
    assert!(!ssh.status.success() && ssh.stdout.is_empty(), "nothing else leads into it");
    let log = node.pod_logs().join("winrm/machine/0.log");
    client.logged(&id, &log, "mini: boot is done").await;
    client.logged(&id, &log, "app: line ").await;

    // A process beside it, with a Secret.
    let secret = fleet::secret(&node, "uid-winrm", "a secret");
    let process = client.create_with(&pod_id, fleet::process(IMAGE, &secret)).await.unwrap();
    client.start(&process).await.unwrap();
    let lines = node.pod_logs().join("winrm/process/0.log");
    client.logged(&process, &lines, "it has a secret").await;

    // Another daemon goes on with both.
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    let answer = client.exec(&id, &["hostname"], 0).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "winrm");
    client.output(&process, &["sh", "-c", "echo still here >>/run/said"]).await;
    client.logged(&process, &lines, "still here").await;
    let text = fs::read_to_string(&lines).unwrap();
    assert_eq!(text.matches("it has a secret").count(), 1, "no line comes twice: {text}");

    client.stop(&process, 10).await.unwrap();
    client.stop(&id, 60).await.unwrap();
    let ended = client.status(&id).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
    assert_eq!(node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}

fn from_env(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is set by `cargo xtask test`")).into()
}

/// Makes the server's certificate, and its password; answers what pins the former.
fn certificate(folder: &Path) -> String {
    fs::write(folder.join("password"), PASSWORD).unwrap();
    let mut server = Command::new(from_env("INFRANETES_WINRM_PEER"))
        .arg("--certificate")
        .arg(folder.join("certificate"))
        .arg("--password-file")
        .arg(folder.join("password"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    line.split_whitespace().nth(1).expect("its fingerprint").to_owned()
}

/// Makes the disk.
fn disk(folder: &Path) -> PathBuf {
    let disk = folder.join("disk.raw");
    let mini = from_env("INFRANETES_GUESTS").join("mini/mini.qcow2");
    run(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(mini).arg(&disk));
    let inittab = folder.join("inittab");
    edit(&disk, &format!("dump /etc/inittab {}", inittab.display()));
    let lines = fs::read_to_string(&inittab).unwrap();
    fs::write(&inittab, format!("{lines}::respawn:/winrm/service\n")).unwrap();
    fs::write(folder.join("service"), SERVICE).unwrap();
    let server = from_env("INFRANETES_WINRM_PEER");
    let mut files: Vec<(PathBuf, String)> = vec![(server.clone(), "winrm-peer".to_owned())];
    for name in ["certificate", "certificate.key", "password", "service"] {
        files.push((folder.join(name), name.to_owned()));
    }
    for library in
        run(Command::new("ldd").arg(server)).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let name = library.rsplit('/').next().unwrap();
        let name = if name.starts_with("ld-linux") { "ld.so" } else { name };
        files.push((library.into(), name.to_owned()));
    }
    let mut script = String::from("rm /usr/sbin/sshd\nmkdir /winrm\ncd /winrm\n");
    for (from, name) in files {
        writeln!(script, "write {} {name}\nsif {name} mode 0100755", from.display()).unwrap();
    }
    writeln!(script, "cd /etc\nrm inittab\nwrite {} inittab", inittab.display()).unwrap();
    edit(&disk, &script);
    disk
}

/// Changes the file system of a disk, without a mount.
fn edit(disk: &Path, script: &str) {
    let mut command = Command::new("debugfs");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    command.args(["-w", "-f"]).arg(file.path()).arg(format!("{}?offset={PARTITION}", disk.display()));
    let output = command.stdin(Stdio::null()).output().expect("apt-get install e2fsprogs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It tells its version there, and goes on after what fails.
    let complaints: Vec<_> = said.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn import(node: &Node, disk: &Path) {
    let mut command = node.infranetes();
    run(command.args(["image", "import", "--format", "raw", "--name", NAME]).arg(disk));
}
