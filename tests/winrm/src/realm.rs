//! A Kerberos domain for one test: MIT's own domain controller on loopback, with a database in a folder of its own.
//!
//! ```text
//!   the test --no domain yet--> starts one --> the same test again, in a process whose Kerberos is that --> its end is the test's
//! ```
//!
//! A process's Kerberos is what its environment says from its start on, so the test runs once more in a process of its own.
//! Nothing outside the folder is read or written: neither the machine's configuration nor its tickets.
//!
//! - Happy path: [`Realm::around`] is `None` in the first process once the second one has passed, and in that the domain.
//! - Failures: programs that are not installed, a controller that does not listen within [`PATIENCE`], and a second process that
//!   fails or runs no test, all end the test with what was printed.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The domain's name.
pub const NAME: &str = "LAB.EXAMPLE";
/// The guest whose key is in the keytab.
pub const GUEST: &str = "win.lab.example";
/// Another one, whose key the domain alone has.
pub const OTHER: &str = "other.lab.example";

/// How long the controller may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a port is taken for the controller.
const ATTEMPTS: usize = 5;
/// How long the test may take in its domain.
const TEST_PATIENCE: Duration = Duration::from_secs(300);
/// What tells the second process where the domain is.
const FOLDER: &str = "WINRM_PEER_REALM";
/// The keys of the guest.
const KEYTAB: &str = "guest.keytab";
/// What the controller said, beside the domain.
const LOG: &str = "controller.log";

/// How the domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setup {
    /// How far the controller's clock is ahead, in seconds.
    pub clock_ahead: u32,
    /// Whether the controller is down.
    pub down: bool,
}

/// A domain, in the process that it was made for.
#[derive(Debug)]
pub struct Realm {
    folder: PathBuf,
}

impl Realm {
    /// Runs the test of this name in a domain; `None` where that has been done.
    pub async fn around(test: &str, setup: Setup) -> Option<Self> {
        if let Some(folder) = std::env::var_os(FOLDER) {
            return Some(Self { folder: folder.into() });
        }
        let folder = tempfile::tempdir().expect("a folder");
        let _controller = start(&folder, setup).await;
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        again.args(["--exact", test, "--nocapture"]).env(FOLDER, folder.path()).kill_on_drop(true);
        let ended = timeout(TEST_PATIENCE, in_domain(&mut again, folder.path()).output()).await;
        let output = ended.expect("the test ends in time").expect("the test runs again");
        let printed = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (printed(&output.stdout), printed(&output.stderr));
        let passed = output.status.success() && stdout.contains("test result: ok. 1 passed");
        assert!(passed, "{test} fails in its domain ({}):\n{stdout}\n{stderr}", output.status);
        None
    }

    /// Makes a user with a password, for whom further arguments hold.
    pub async fn user(&self, name: &str, password: &str, arguments: &[&str]) {
        let password = password.replace('"', "\"\"");
        kadmin(&self.folder, &format!("addprinc -pw \"{password}\" {} {name}", arguments.join(" "))).await;
    }

    /// Where the library looks for keys of users.
    pub fn client_keytab(&self) -> PathBuf {
        self.folder.join("client.keytab")
    }

    /// Where the server looks for its keys.
    pub fn guest_keytab(&self) -> PathBuf {
        self.folder.join(KEYTAB)
    }

    /// Changes what the domain knows, by kadmin's own words.
    pub async fn change(&self, query: &str) {
        kadmin(&self.folder, query).await;
    }

    /// How often the domain gave a ticket of this kind, `AS_REQ` for users and `TGS_REQ` for services.
    pub fn given(&self, kind: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.join(LOG)).expect("the controller has a log");
        log.lines().filter(|line| line.contains(kind) && line.contains("ISSUE")).count()
    }

    /// Gives the user of this process tickets, as a person who logs in has them.
    pub async fn tickets(&self, name: &str, password: &str) {
        use tokio::io::AsyncWriteExt as _;
        let mut kinit = Command::new("kinit");
        let mut kinit =
            kinit.arg(name).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("kinit runs");
        let mut stdin = kinit.stdin.take().expect("it was asked for");
        stdin.write_all(format!("{password}\n").as_bytes()).await.expect("it reads");
        drop(stdin);
        assert!(kinit.wait().await.expect("it ends").success(), "kinit {name}");
    }
}

/// Sets where a program's Kerberos is.
fn in_domain<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
        .env("KRB5RCACHENAME", format!("file2:{}", folder.join("replays").display()))
        .env_remove("KRB5_KTNAME")
        .env_remove("KRB5_CLIENT_KTNAME")
        .env_remove("KRB5CCNAME")
}

/// Makes the domain, and starts its controller unless it is down.
async fn start(folder: &TempDir, setup: Setup) -> Option<Child> {
    let folder = folder.path();
    configure(folder);
    let mut create = Command::new("kdb5_util");
    succeed(in_domain(create.args(["create", "-s", "-r", NAME, "-P", "master"]), folder)).await;
    for service in [GUEST, OTHER] {
        kadmin(folder, &format!("addprinc -randkey HTTP/{service}")).await;
    }
    let keytab = folder.join(KEYTAB);
    kadmin(folder, &format!("ktadd -k {} HTTP/{GUEST}", keytab.display())).await;
    if setup.down {
        return None;
    }
    for _ in 0..ATTEMPTS {
        match listen(folder, setup).await {
            Ok(controller) => return Some(controller),
            // Another program may have taken the port meanwhile.
            Err(said) if said.contains("in use") => configure(folder),
            Err(said) => panic!("the domain controller does not listen:\n{said}"),
        }
    }
    panic!("no port of {ATTEMPTS} stayed free for the domain controller")
}

/// Says where everything is, with a port that is free now.
fn configure(folder: &Path) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let (port, place) = (free.expect("a port").port(), folder.display());
    let client = format!(
        "[libdefaults]
 default_realm = {NAME}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 kdc_timesync = 0
 default_ccache_name = FILE:{place}/tickets
 default_keytab_name = FILE:{place}/{KEYTAB}
 default_client_keytab_name = FILE:{place}/client.keytab
[realms]
 {NAME} = {{
  kdc = 127.0.0.1:{port}
 }}
"
    );
    let controller = format!(
        "[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {NAME} = {{
  database_name = {place}/principal
  key_stash_file = {place}/stash
  acl_file = {place}/acl
  supported_enctypes = aes256-cts:normal aes128-cts:normal
 }}
[logging]
 kdc = STDERR
 kdc = FILE:{place}/{LOG}
 default = FILE:{place}/log
"
    );
    for (name, text) in [("krb5.conf", client), ("kdc.conf", controller)] {
        std::fs::write(folder.join(name), text).expect("it is written");
    }
}

/// Starts the controller, and waits until it listens; else what it said.
async fn listen(folder: &Path, setup: Setup) -> Result<Child, String> {
    // It ends with us, whatever becomes of us.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if setup.clock_ahead > 0 {
        command.env("LD_PRELOAD", clock()).env("FAKETIME", format!("+{}", setup.clock_ahead));
    }
    let mut controller = in_domain(command.args(["krb5kdc", "-n"]), folder)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("krb5-kdc and util-linux are installed");
    let mut log = BufReader::new(controller.stderr.take().expect("it was asked for")).lines();
    let mut said = String::new();
    let listens = timeout(PATIENCE, async {
        while let Ok(Some(line)) = log.next_line().await {
            said.push_str(&line);
            said.push('\n');
            if line.contains("commencing operation") {
                return true;
            }
        }
        false
    });
    if !listens.await.unwrap_or_default() {
        return Err(said);
    }
    // It would wait for a reader of what it says.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    Ok(controller)
}

/// The library that lets a program see another time.
fn clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("there are libraries").flatten();
    let mut paths = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    paths.find(|path| path.exists()).expect("libfaketime is installed")
}

async fn kadmin(folder: &Path, query: &str) {
    succeed(in_domain(Command::new("kadmin.local").args(["-r", NAME, "-q", query]), folder)).await;
}

async fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().await;
    let output =
        output.unwrap_or_else(|error| panic!("krb5-kdc and krb5-admin-server are installed: {error}"));
    let printed = String::from_utf8_lossy(&output.stderr);
    // kadmin.local tells in words alone what failed.
    let failed = printed.lines().any(|line| line.contains("while") || line.contains("Cannot"));
    assert!(output.status.success() && !failed, "{command:?}: {printed}");
}
