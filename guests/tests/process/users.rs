//! Sessions that are not root's: a user with `sudo`, a user without any rights, login shells with habits, a read-only root.

use guests::Error;
use guests::process::{Limits, ProcessState, User};

use super::contract::{Place, next, read, script};
use super::servers::Server;

/// Adds user 4242 with a login shell, and lets the server's keys be read.
fn with_user(shell: &str, more: &str) -> String {
    format!(
        "{}
(cat /etc/passwd; echo plain:x:4242:4242::/home/plain:{shell}) >$1/passwd
(cat /etc/group; echo plain:x:4242:; echo extra:x:4343:plain) >$1/group
(cat /etc/shadow; echo 'plain:*:19000:0:99999:7:::') >$1/shadow
chmod 640 $1/shadow
chmod a+rX $1 $1/authorized_keys
mount --bind $1/passwd /etc/passwd
mount --bind $1/group /etc/group
mount --bind $1/shadow /etc/shadow
mount -t tmpfs home /home
mkdir /home/plain
chown 4242 /home/plain
{more}",
        super::FRESH
    )
}

async fn place(prepare: &str) -> Place {
    let mut server = Server::openssh_in(prepare, "");
    server.user = "plain".into();
    Place::new(server).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_rights_runs_what_is_its_own() {
    for shell in ["/bin/sh", "/bin/csh"] {
        let noise = "printf 'echo welcome\\nset noise\\n' >/home/plain/.cshrc";
        let place = place(&with_user(shell, noise)).await;
        let mut spec = script("own", "id -u; id -G; echo $HOME; read -r x; echo \"got $x\"; sleep 1005");
        spec.working_dir = Some("/home/plain".into());
        let told = place
            .run(&{
                let mut spec = spec.clone();
                spec.argv[2] = "id -u; id -G; echo $HOME; pwd".into();
                spec
            })
            .await;
        assert_eq!(told.stdout, "4242\n4242 4343\n/home/plain\n/home/plain\n", "{shell}: {told:?}");
        assert!(matches!(place.start(&spec).await, ProcessState::Running { .. }));
        let mut stream = place.follow(&spec, None).await;
        next(&mut stream).await;
        place.guest.signal(&*place.session, &spec.id, "KILL").await.unwrap();
        assert_eq!(read(&mut stream).await.exit.code, 137);
        place.remove(&spec).await;
        // What it may not is said, and nothing is started.
        spec.user = User { uid: Some(1), ..User::default() };
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported(why) if why.contains("sudo")), "{error}");
        spec.user = User { strict: true, ..User::default() };
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported(why) if why.contains("sudo")), "{error}");
        spec.user = User::default();
        spec.capabilities.drop = vec!["ALL".into()];
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported(why) if why.contains("sudo")), "{error}");
        spec.capabilities.drop.clear();
        spec.limits = Limits { memory_bytes: Some(1 << 26), ..Limits::default() };
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported(why) if why.contains("sudo")), "{error}");
        assert_eq!(place.state(&spec).await, ProcessState::Absent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_sudo_runs_as_anybody() {
    let place = with_sudo().await;
    let mut spec = script("other", "id -u; id -g");
    spec.user = User { uid: Some(1234), gid: Some(1235), ..User::default() };
    assert_eq!(place.run(&spec).await.stdout, "1234\n1235\n");
    spec.user = User::default();
    assert_eq!(place.run(&spec).await.stdout, "0\n0\n");
    spec.argv[2] = "id -G".into();
    for (strict, groups) in [(false, "4242 4343\n"), (true, "4242\n")] {
        spec.user = User { name: Some("plain".into()), strict, ..User::default() };
        assert_eq!(place.run(&spec).await.stdout, groups, "strict: {strict}");
    }
}

/// A user who may become anybody.
pub(crate) async fn with_sudo() -> Place {
    let sudoers = "echo 'plain ALL=(ALL) NOPASSWD: ALL' >$1/sudoers
chmod 440 $1/sudoers
mount --bind $1/sudoers /etc/sudoers";
    place(&with_user("/bin/sh", sudoers)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_root_is_no_hindrance() {
    let place = read_only().await;
    assert_eq!(place.sh("touch /usr/x 2>/dev/null || echo refused").await, "refused");
    let mut spec = script("readonly", "echo out; exit 3");
    spec.message_path = Some("/dev/shm/message".into());
    let told = place.run(&spec).await;
    assert_eq!((told.exit.code, &told.stdout[..]), (3, "out\n"));
    // A directory that would have to be made is told.
    spec.working_dir = Some("/no/such/directory".into());
    let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
    assert!(matches!(&error, Error::Unsupported(why) if why.contains("/no/such/directory")), "{error}");
}

/// A machine whose root cannot be written to.
pub(crate) async fn read_only() -> Place {
    let read_only = "umask 022
mount -t tmpfs tmp /var/tmp
mount --rbind / /mnt
mount -o remount,ro,bind /";
    let server = Server::openssh_in(&format!("{}\n{read_only}", super::FRESH), "");
    Place::new(server).await
}
