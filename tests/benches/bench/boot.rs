//! From nothing to the first answer of a guest: ours over the CRI, beside a bare QEMU and a loop of `ssh`.
//!
//! ```text
//!   ours:  RunPodSandbox -> CreateContainer -> StartContainer -> ExecSync true
//!   bare:  qemu-img create -> qemu -> (ssh true)* until it answers
//! ```
//!
//! Both boot the same image with the same accelerator, processor and memory: the bare one takes these arguments from
//! the command line of a machine of ours, whose boot is not measured (it also makes the daemon probe the accelerator).
//! They take turns. The image is pulled before. The bare machine has QEMU's user network in the node's namespace.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tests::{Node, Options};
use tokio::task::block_in_place;

use crate::client::{Client, pod};
use crate::figures::{median, rounded};
use crate::say;

/// The most that ours may take, as a multiple of the bare one.
const GOAL: f64 = 1.10;
/// How long a boot may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The bare machine's SSH port on the namespace's loopback.
const PORT: u16 = 2222;
/// What of a machine's command line the bare one shall have too.
const SAME: [&str; 5] = ["-accel", "-cpu", "-m", "-smp", "-machine"];

pub(crate) async fn measure(boots: usize) -> Result<Value> {
    let guests = std::env::var_os("INFRANETES_GUESTS")
        .context("INFRANETES_GUESTS is not set; measure with `cargo xtask bench`")?;
    let guest = Path::new(&guests).join("mini").canonicalize().context("there is no guest mini")?;
    let node = block_in_place(|| Node::start(Options::from_env()?))?;
    let mut client = Client::connect(&node.socket()).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await?;
    let (_, same) = ours(&node, &mut client, &image, 0).await?;
    say(&format!("boot: both with {}", same.join(" ")));
    let (mut ours_seconds, mut bare_seconds) = (Vec::new(), Vec::new());
    for number in 1..=boots {
        bare_seconds.push(block_in_place(|| bare(&node, &guest, &same))?);
        ours_seconds.push(ours(&node, &mut client, &image, number).await?.0);
        say(&format!(
            "boot {number}: ours {:.2} s, bare {:.2} s",
            ours_seconds[number - 1],
            bare_seconds[number - 1]
        ));
    }
    let ratio = median(&ours_seconds) / median(&bare_seconds);
    Ok(json!({
        "ours_seconds": rounded(median(&ours_seconds)),
        "bare_seconds": rounded(median(&bare_seconds)),
        "ratio": rounded(ratio),
        "goal_at_most": GOAL,
        "ours_runs": ours_seconds,
        "bare_runs": bare_seconds,
        "machine": same,
    }))
}

/// A pod of ours: the seconds to its first answer, and what its machine has in common with the bare one.
async fn ours(node: &Node, client: &mut Client, image: &str, number: usize) -> Result<(f64, Vec<String>)> {
    let began = Instant::now();
    let sandbox = client.run_pod(&pod(&format!("boot-{number}"), &node.pod_logs())).await?;
    let id = client.create(&sandbox, "machine", image).await?;
    client.start(&id).await?;
    loop {
        match client.exec(&id, &["true"], 30).await {
            Ok(answer) => {
                ensure!(answer.exit_code == 0, "true ended with {}", answer.exit_code);
                break;
            }
            // The start does not wait for ever; a guest that boots says so.
            Err(status) if status.code() == tonic::Code::Unavailable && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let same = command_line(&[&sandbox, &id])?;
    client.stop(&id, 0).await?;
    client.remove(&id).await?;
    client.stop_pod(&sandbox).await?;
    client.remove_pod(&sandbox).await?;
    Ok((seconds, same))
}

/// The arguments that matter of the machine that one of these ids names.
fn command_line(ids: &[&str]) -> Result<Vec<String>> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.contains("qemu-system") || !ids.iter().any(|id| line.contains(id)) {
            continue;
        }
        let words: Vec<&str> = line.split('\0').collect();
        let pairs = words.windows(2).filter(|pair| SAME.contains(&pair[0]));
        return Ok(pairs.flatten().map(|&word| word.to_owned()).collect());
    }
    bail!("the machine of {ids:?} is not found among the processes")
}

/// A bare machine: the seconds to its first answer.
fn bare(node: &Node, guest: &Path, same: &[String]) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    std::fs::copy(guest.join("mini.key"), &key)?;
    ensure!(Command::new("chmod").arg("600").arg(&key).status()?.success(), "cannot protect the key");
    let host_keys = std::fs::read_to_string(guest.join("mini.hostkey.pub"))?;
    let known: Vec<String> = host_keys.lines().map(|line| format!("[127.0.0.1]:{PORT} {line}")).collect();
    std::fs::write(folder.path().join("known_hosts"), known.join("\n") + "\n")?;

    let began = Instant::now();
    let disk = folder.path().join("disk.qcow2");
    let mut create = Command::new("qemu-img");
    create
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(guest.join("mini.qcow2"))
        .arg(&disk);
    ensure!(create.status()?.success(), "qemu-img failed");
    let mut qemu = node.namespace().command("qemu-system-x86_64");
    qemu.args(same).args(["-nodefaults", "-display", "none", "-device", "virtio-rng-pci", "-drive"]);
    qemu.arg(format!("file={},if=virtio,format=qcow2", disk.display())).arg("-serial");
    qemu.arg(format!("file:{}", folder.path().join("console").display()));
    qemu.arg("-netdev").arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{PORT}-:22"));
    qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]).stdin(Stdio::null());
    let mut machine = Machine(qemu.spawn().context("cannot run qemu-system-x86_64")?);
    loop {
        let mut ssh = node.namespace().command("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=1",
            "-o",
            "LogLevel=QUIET",
            "-i",
        ]);
        ssh.arg(&key)
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", folder.path().join("known_hosts").display()));
        ssh.args(["-p", &PORT.to_string(), "root@127.0.0.1", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if ssh.status()?.success() {
            return Ok(began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < PATIENCE, "the bare machine does not answer");
        ensure!(machine.0.try_wait()?.is_none(), "the bare machine ended");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// A bare machine that ends with this value. `nsenter` becomes QEMU, so the child is the machine.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
