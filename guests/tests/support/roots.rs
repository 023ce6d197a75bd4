//! What the guests have that are SSH servers of this machine, each in a mount namespace of its own.

/// A private `/run`, `/dev/shm` and home, so that a guest begins with nothing and this machine's own start-up files do not matter; no
/// control groups, for those of this machine would be shared by all.
pub(crate) const FRESH: &str = "mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mkdir -p /run/sshd $1/home
mount --bind $1/home /root
umount -R /sys/fs/cgroup
mount --bind /dev/null /proc/filesystems";

/// Nothing but busybox, as `sh` too; the server's own program stays.
pub(crate) const BUSYBOX: &str = "mkdir $1/bin $1/sbin
/bin/busybox --install -s $1/bin
rm -f $1/bin/setpriv $1/bin/busybox
cp /bin/busybox $1/bin/busybox
cp /usr/sbin/sshd $1/sbin/
sed 's|/bin/bash$|/bin/sh|' /etc/passwd >$1/passwd
mount --bind $1/passwd /etc/passwd
mount --bind $1/sbin /usr/sbin
mount --bind $1/bin /usr/bin";
