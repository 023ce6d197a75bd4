//! `cargo xtask guest --check`: boots a guest as any QEMU would, logs in to it in each way that it offers, and turns it
//! off by its power button.
//!
//! ```text
//!   boot -> (log in: key | password | seed's key)+ -> power button -> QEMU ends by itself
//! ```
//!
//! The machine has QEMU's user network with one port forwarded from loopback; the host key must be the one beside the
//! image. Failure paths: a guest that does not answer within the deadline is ended and the end of its console is shown.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Image, facts};
use crate::progress::{self, Step};
use crate::run;

/// How long a guest may take to its first login, under emulation on a busy machine.
const BOOT: Duration = Duration::from_secs(300);
/// How long it may take to turn itself off.
const OFF: Duration = Duration::from_secs(90);
/// The pause between two attempts to log in.
const PAUSE: Duration = Duration::from_millis(500);

/// Boots an image and logs in. An error tells what did not work.
pub(super) fn check(image: &Image) -> Result<()> {
    let folder = Folder::make(&image.name)?;
    let mut step = Step::begin(&format!("checking guest {}", image.name));
    let guest = Guest::boot(image, &folder.0)?;
    match guest.examine(image, &mut step) {
        Ok(()) => {
            step.end("boots, takes the login and turns itself off");
            Ok(())
        }
        Err(error) => {
            step.end("failed");
            let console = std::fs::read(folder.0.join("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let lines: Vec<&str> = console.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(40)) {
                progress::line(&format!("  | {}", line.replace(char::is_control, "")));
            }
            Err(error)
        }
    }
}

/// A folder that goes away with the check.
struct Folder(PathBuf);

impl Folder {
    fn make(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("infranetes-check-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Guest {
    process: u32,
    ended: Receiver<()>,
    folder: PathBuf,
    port: u16,
    began: Instant,
    over: Cell<bool>,
}

impl Guest {
    fn boot(image: &Image, folder: &Path) -> Result<Self> {
        let overlay = folder.join("disk.qcow2");
        run::output(
            Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
                .arg(image.disk())
                .arg(&overlay),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35,accel=tcg", "-m", "768", "-smp", "2", "-nodefaults", "-display", "none"])
            .args(["-device", "virtio-rng-pci", "-device", "pvpanic-pci"])
            .arg("-serial")
            .arg(format!("file:{}", folder.join("console").display()))
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=qcow2", overlay.display()))
            .arg("-netdev")
            .arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"))
            .args(["-device", "virtio-net-pci,netdev=net"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", folder.join("qmp").display()));
        if seeded(image)? {
            let seed = seed(folder)?;
            qemu.arg("-drive").arg(format!(
                "file.driver=vvfat,file.dir={},file.label=cidata,if=virtio,read-only=on",
                seed.display()
            ));
        }
        let child = qemu
            .stdin(Stdio::null())
            .spawn()
            .context("cannot run qemu-system-x86_64: `cargo xtask setup` installs it")?;
        Ok(Self {
            process: child.id(),
            ended: watch(child),
            folder: folder.to_owned(),
            port,
            began: Instant::now(),
            over: Cell::new(false),
        })
    }

    fn examine(&self, image: &Image, step: &mut Step) -> Result<()> {
        let known = self.folder.join("known_hosts");
        let keys = if seeded(image)? { self.folder.join("host.pub") } else { image.beside("hostkey.pub") };
        let keys =
            std::fs::read_to_string(&keys).with_context(|| format!("cannot read {}", keys.display()))?;
        let lines = keys.lines().map(|key| format!("[127.0.0.1]:{} {key}\n", self.port));
        std::fs::write(&known, lines.collect::<String>())?;

        if seeded(image)? {
            self.login(&known, &Way::Key(self.folder.join("user")), step)?;
        }
        let key = image.beside("key");
        if key.exists() {
            self.login(&known, &Way::Key(key), step)?;
        }
        if let Some(password) = facts::read(&image.beside("facts"))?.get("password") {
            self.login(&known, &Way::Password(password.clone()), step)?;
        }
        step.say("pressing the power button");
        self.power_button()?;
        if self.ended.recv_timeout(OFF).is_err() {
            bail!("the guest ignores its power button");
        }
        self.over.set(true);
        Ok(())
    }

    /// Tries until it works, the machine ends, or the deadline passes.
    fn login(&self, known: &Path, way: &Way, step: &mut Step) -> Result<()> {
        loop {
            let error = match run::output(&mut way.command(known, self.port)) {
                Ok(answer) => {
                    step.say(&format!(
                        "logged in by {} after {:.1} s: {}",
                        way.name(),
                        self.began.elapsed().as_secs_f64(),
                        answer.trim()
                    ));
                    return Ok(());
                }
                Err(error) => error,
            };
            step.tick("");
            if self.began.elapsed() > BOOT {
                return Err(error).context(format!("no login by {} in time", way.name()));
            }
            if self.ended.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                self.over.set(true);
                bail!("the machine ended before anyone could log in");
            }
        }
    }

    fn power_button(&self) -> Result<()> {
        let stream = UnixStream::connect(self.folder.join("qmp")).context("cannot reach QEMU's monitor")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        for command in ["qmp_capabilities", "system_powerdown"] {
            writeln!(&stream, r#"{{"execute":"{command}"}}"#)?;
            line.clear();
            reader.read_line(&mut line)?;
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.over.get() {
            let _ = Command::new("kill").arg("-KILL").arg(self.process.to_string()).status();
            let _ = self.ended.recv_timeout(Duration::from_secs(10));
        }
    }
}

/// Waits for a child's end on a thread of its own.
fn watch(mut child: Child) -> Receiver<()> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        // However it ended, it is over; a check that is over itself does not listen.
        let _ = child.wait();
        let _ = sender.send(());
    });
    receiver
}

enum Way {
    Key(PathBuf),
    Password(String),
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Password(_) => "password",
        }
    }

    fn command(&self, known: &Path, port: u16) -> Command {
        let mut command = match self {
            Self::Key(key) => {
                let mut ssh = Command::new("ssh");
                ssh.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]).arg(key);
                ssh
            }
            Self::Password(password) => {
                // The well-known password, through the environment all the same.
                let mut sshpass = Command::new("sshpass");
                sshpass.env("SSHPASS", password).args([
                    "-e",
                    "ssh",
                    "-o",
                    "PreferredAuthentications=password",
                ]);
                sshpass
            }
        };
        command
            .args([
                "-F",
                "none",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "LogLevel=ERROR",
                "-o",
                "ConnectTimeout=10",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .args(["-p", &port.to_string(), "root@127.0.0.1", "uname -sr"]);
        command
    }
}

/// Whether the guest has to be given a seed.
fn seeded(image: &Image) -> Result<bool> {
    Ok(facts::read(&image.beside("facts"))?.get("cloud-init").is_some_and(|value| value == "true"))
}

/// Makes a `NoCloud` seed with host keys and a user's key made for this check.
fn seed(folder: &Path) -> Result<PathBuf> {
    let seed = folder.join("seed");
    std::fs::create_dir(&seed)?;
    for key in ["host", "user"] {
        run::output(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "check", "-f"])
                .arg(folder.join(key)),
        )?;
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let user_data = serde_json::json!({
        "disable_root": false,
        "ssh_keys": { "ed25519_private": read("host")?, "ed25519_public": read("host.pub")? },
        "users": [{ "name": "root", "ssh_authorized_keys": [read("user.pub")?] }],
    });
    std::fs::write(seed.join("user-data"), format!("#cloud-config\n{user_data}\n"))?;
    std::fs::write(seed.join("meta-data"), "instance-id: check\nlocal-hostname: check\n")?;
    Ok(seed)
}
