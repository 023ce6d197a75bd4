//! A user of this machine, made for one test, who logs in to a test server.

use std::process::Command as Host;
use std::sync::atomic::{AtomicU32, Ordering};

use transports::Target;

use super::Server;

/// A user of this machine with a home folder, removed with this value.
pub struct User {
    pub name: String,
    pub home: tempfile::TempDir,
}

impl User {
    pub fn new(shell: &str, password: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ct{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = tempfile::tempdir().unwrap();
        let user = Self { name, home };
        user.host(
            "useradd",
            &["-M", "-N", "-s", shell, "-d", user.home.path().to_str().unwrap(), &user.name],
        );
        let script = format!("echo '{}:{password}' | chpasswd", user.name);
        user.host("sh", &["-c", &script]);
        user.host("chown", &[&user.name, user.home.path().to_str().unwrap()]);
        user
    }

    #[allow(clippy::unused_self, reason = "it is done for the user")]
    fn host(&self, program: &str, arguments: &[&str]) {
        let output = Host::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).unwrap();
    }

    pub fn target(&self, server: &Server) -> Target {
        Target { user: self.name.clone(), ..server.target() }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Host::new("pkill").args(["-KILL", "-u", &self.name]).output();
        let _ = Host::new("userdel").args(["-f", &self.name]).output();
    }
}

/// A server whose keys its other users may read.
pub fn open_server(extra: &str) -> Server {
    let server = Server::openssh(extra);
    let keys = server.folder.path().join("authorized_keys");
    Host::new("chmod").arg("a+rX").arg(server.folder.path()).arg(keys).status().unwrap();
    server
}
