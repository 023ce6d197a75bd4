//! The steps of the demo.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::session::{Printed, Session, program, say};
use super::{GUEST, look};

/// The pod's name.
const POD: &str = "legacy";
/// How long something in the guest may take that takes a moment.
const MOMENT: Duration = Duration::from_secs(60);
/// How long the guest may take to its first answer on a machine that is busy otherwise.
const BOOT: Duration = Duration::from_secs(300);
/// What the guest's web server answers.
const GREETING: &str = "hello from the legacy application";
/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Shows everything.
pub(super) fn all(session: &mut Session) -> Result<()> {
    let before = session.node().inventory()?.0;
    let image = format!("{}/guests/{GUEST}:latest", session.node().registry());
    pull(session, &image)?;
    let address = run(session, &image)?;
    http(session, &address)?;
    logs(session)?;
    exec(session)?;
    figures(session)?;
    restart(session, &address)?;
    stop(session)?;
    remove(session, &image)?;
    session.begin("Nothing is left");
    nothing_left(session, &before)?;
    session.end();
    Ok(())
}

fn pull(session: &mut Session, image: &str) -> Result<()> {
    session.begin("Pull the legacy machine's disk from an OCI registry");
    session.infranetes(&["image", "pull", image])?;
    session.infranetes(&["image", "ls"])?;
    Ok(())
}

/// Answers the pod's address.
fn run(session: &mut Session, image: &str) -> Result<String> {
    session.begin("Run it as a pod: the pod IP exists before the machine boots");
    let logs = session.node().pod_logs().join(POD).display().to_string();
    let printed = session.infranetes(&["run", image, "--name", POD, "--log-directory", &logs])?;
    let address = look::address(&printed.lines)?;
    session.infranetes(&["ps"])?;
    session.until("the guest's first answer", BOOT, |session| {
        session.silently(&["exec", POD, "--", "true"]).map(Some)
    })?;
    say("The machine was booted by its own boot loader, and has answered over SSH.");
    Ok(address)
}

fn http(session: &mut Session, address: &str) -> Result<()> {
    session.begin("Ask its web service by the pod IP");
    let printed = ask_web(session, address)?;
    ensure!(printed.has(GREETING), "the web service answered something else");
    Ok(())
}

fn ask_web(session: &mut Session, address: &str) -> Result<Printed> {
    let url = format!("http://{address}/");
    session.on_the_node("curl", &["-sS", "--max-time", "30", "--retry", "5", "--retry-connrefused", &url])
}

fn logs(session: &mut Session) -> Result<()> {
    session.begin("Read its log: the boot console, then the application's journal");
    session.until("the application's lines", MOMENT, |session| {
        let log = session.silently(&["logs", POD])?;
        // The request of the step before is logged too, as the web server does.
        Ok(log.has("line 3").then_some(()))
    })?;
    let printed = session.infranetes(&["logs", POD])?;
    ensure!(printed.has("line 3"), "the log lacks the application's lines");
    Ok(())
}

fn exec(session: &mut Session) -> Result<()> {
    session.begin("Run commands in it; nothing was ever installed in it for that");
    let printed = session.infranetes(&["exec", POD, "--", "uname", "-a"])?;
    ensure!(printed.has("Linux"), "`uname` printed something else");
    let printed =
        session.infranetes(&["exec", POD, "--", "systemctl", "--no-pager", "status", "legacy-app"])?;
    ensure!(printed.has("active (running)"), "the application does not run");
    Ok(())
}

fn figures(session: &mut Session) -> Result<()> {
    session.begin("Figures: the machine as the node sees it, and as the guest does");
    let machine = machine(session)?;
    program("ps", &["-o", "pid,user,stat,rss,cputime,etime,comm", "-p", &machine])?;
    session.infranetes(&["exec", POD, "--", "sh", "-c", "uptime; free -m"])?;
    Ok(())
}

/// The process id of the machine.
fn machine(session: &mut Session) -> Result<String> {
    let inventory = session.node().inventory()?.0;
    let line = inventory.iter().find_map(|line| line.strip_prefix("process "));
    let id = line.and_then(|line| line.split(':').next());
    id.map(str::to_owned).context("no machine runs")
}

fn restart(session: &mut Session, address: &str) -> Result<()> {
    session.begin("Kill the daemon under it and start it again: the guest never notices");
    let before = session.infranetes(&["exec", POD, "--", "cat", BOOT_ID])?.text();
    let machine_before = machine(session)?;
    let daemon = session.node().daemon().id();
    say(&format!("$ kill -9 {daemon}"));
    session.node().daemon().kill();
    let printed = ask_web(session, address)?;
    ensure!(printed.has(GREETING), "the web service answered something else");
    say("Without a daemon the pod still answers. Now the daemon is started again:");
    let config = session.node().config_path().display().to_string();
    say(&format!("$ infranetes serve --config {config} &"));
    session.node().start_daemon()?;
    session.infranetes(&["ps"])?;
    let after = session.until("the guest's answer", MOMENT, |session| {
        Ok(Some(session.silently(&["exec", POD, "--", "cat", BOOT_ID])?.text()))
    })?;
    say(&format!("$ infranetes exec {POD} -- cat {BOOT_ID}"));
    say(&format!("  {after}"));
    ensure!(before.trim() == after.trim(), "the guest was booted again");
    ensure!(machine_before == machine(session)?, "the machine is another one");
    say("The boot id is the same: it is the same machine, and it was never restarted.");
    Ok(())
}

fn stop(session: &mut Session) -> Result<()> {
    session.begin("Stop it: the guest shuts itself down");
    session.infranetes(&["stop", POD])?;
    let told = session.silently(&["inspect", POD])?.text();
    let (state, reason, code) = look::end(&told)?;
    say(&format!("infranetes inspect tells: state {state}, reason {reason}, exit code {code}"));
    ensure!(state == "exited" && reason == "Completed" && code == 0, "it did not shut down by itself");
    session.infranetes(&["logs", "--tail", "3", POD])?;
    Ok(())
}

fn remove(session: &mut Session, image: &str) -> Result<()> {
    session.begin("Remove it");
    let count = session.node().inventory()?.0.len();
    say(&format!("Before: {count} things of the pod are on the node."));
    session.infranetes(&["rm", POD])?;
    session.infranetes(&["image", "rm", image])?;
    Ok(())
}

fn nothing_left(session: &mut Session, before: &BTreeSet<String>) -> Result<()> {
    let after = session.node().inventory()?.0;
    let left: Vec<_> = after.difference(before).cloned().collect();
    for line in &left {
        say(&format!("LEFT: {line}"));
    }
    if !left.is_empty() {
        bail!("{} things were left behind", left.len());
    }
    session.infranetes(&["ps", "--all"])?;
    session.infranetes(&["image", "ls"])?;
    say("No process, network namespace, interface, address, disk or log of the pod is on the node any more.");
    Ok(())
}
