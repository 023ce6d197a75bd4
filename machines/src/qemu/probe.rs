//! Whether guests really run under the processor's virtualisation on this node.
//!
//! That `/dev/kvm` exists says little: it may be forbidden to the machine's user, or be an emulation that stalls. So the
//! firmware of a machine without a disk is run, as that user, until it says on its debug port that it found nothing to
//! boot. Only a firmware that came this far within the deadline proves KVM.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::arguments::{Execution, SANDBOX};
use super::config::User;
use super::unprivileged::kvm_group;

const DEADLINE: Duration = Duration::from_secs(5);
/// What the firmware says last.
const LAST_WORDS: &[u8] = b"No bootable device";
/// How much of its words is read, in bytes; the whole is about 5 KiB.
const READ_LIMIT: u64 = 256 << 10;

/// Runs the probe; the error is the reason why KVM is of no use here, as a phrase.
pub(crate) async fn kvm_works(qemu: &Path, user: User) -> Result<(), String> {
    if !Path::new("/dev/kvm").exists() {
        return Err("there is no /dev/kvm".into());
    }
    let groups = kvm_group().map_or("--clear-groups".into(), |group| format!("--groups={group}"));
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", user.uid))
        .arg(format!("--regid={}", user.gid))
        .args([&groups, "--no-new-privs", "--"])
        .arg(qemu)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "64M"])
        .args(Execution::Kvm.arguments(false))
        .args(SANDBOX)
        .args(["-chardev", "stdio,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("the probe cannot be run: {error}"))?;
    let Some(output) = child.stdout.take() else { return Err("the probe has no output".into()) };
    let mut output = output.take(READ_LIMIT);
    let reading = async {
        let mut said = Vec::new();
        while output.read_buf(&mut said).await.is_ok_and(|count| count > 0) {
            if said.windows(LAST_WORDS.len()).any(|words| words == LAST_WORDS) {
                return Ok(());
            }
        }
        Err("QEMU does not run with it".to_owned())
    };
    let verdict = tokio::time::timeout(DEADLINE, reading)
        .await
        .unwrap_or_else(|_| Err(format!("a firmware does not come to its end within {DEADLINE:?}")));
    // It may have ended by itself; either way it is reaped here.
    let _ = child.kill().await;
    verdict
}
