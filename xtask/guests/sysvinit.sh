# sysvinit: a machine from before systemd: System V init, ifupdown with dhclient, syslog to /var/log/messages, an old
# sshd configuration that takes a password only. The generic kernel, so it also runs on SATA or IDE disks and an e1000.
# parts: say packages kernel disk access debian

kernel=linux-image-amd64
apt-cache show $kernel >/dev/null 2>&1 || kernel=linux-image-generic
install_system "$PWD/root" sysvinit-core,sysv-rc,initscripts,insserv,ifupdown,isc-dhcp-client,openssh-server,busybox-static,busybox-syslogd,iproute2,procps,acpid,kmod
fetch_packages "$PWD/debs" busybox-static $kernel
unpack_packages "$PWD/debs" "$PWD/from" 'linux-*' busybox-static

name_system "$PWD/root" oldbox
well_known_password "$PWD/root"
host_keys "$PWD/root" rsa ecdsa ed25519
cat > root/etc/ssh/sshd_config <<'X'
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication yes
PubkeyAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server
X
mkdir -p root/etc/network/interfaces.d
printf 'auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n' > root/etc/network/interfaces
rm -f root/etc/resolv.conf
ln -sf /proc/mounts root/etc/mtab
mkdir -p root/etc/default root/etc/rc.d root/var/log
echo 'SYSLOG_OPTS="-O /var/log/messages"' > root/etc/default/busybox-syslogd
cat > root/etc/inittab <<'X'
id:2:initdefault:
si::sysinit:/etc/init.d/rcS
l0:0:wait:/etc/init.d/rc 0
l1:1:wait:/etc/init.d/rc 1
l2:2:wait:/etc/init.d/rc 2
l6:6:wait:/etc/init.d/rc 6
ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now
T0:2:respawn:/sbin/getty -L ttyS0 115200 vt100
X
mkdir -p root/opt/batch
cat > root/opt/batch/run <<'X'
#!/bin/sh
# The application: a numbered line a second to the system's log.
n=0
while :; do n=$((n + 1)); logger -t batch "line $n"; sleep 1; done
X
cat > root/etc/init.d/batch <<'X'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          batch
# Required-Start:    $remote_fs $syslog
# Required-Stop:
# Default-Start:     2
# Default-Stop:
# Short-Description: The application of this machine
### END INIT INFO
case $1 in
  start) start-stop-daemon --start --background --make-pidfile --pidfile /run/batch.pid --exec /opt/batch/run ;;
  stop) start-stop-daemon --stop --oknodo --pidfile /run/batch.pid ;;
esac
X
mkdir -p root/etc/acpi/events
printf 'event=button/power.*\naction=/sbin/shutdown -h -P now\n' > root/etc/acpi/events/power
chmod +x root/opt/batch/run root/etc/init.d/batch
chroot root update-rc.d batch defaults >/dev/null
# What does nothing here, and half a minute of an emulated boot.
for service in hwclock.sh checkroot.sh checkroot-bootclean.sh checkfs.sh mount-configfs brightness mountall-bootclean.sh mountnfs.sh mountnfs-bootclean.sh bootlogs rc.local; do chroot root update-rc.d -f "$service" remove >/dev/null 2>&1 || true; done

fact user root
fact password infranetes
host_key_facts
fact cloud-init false
fact log file:/var/log/messages
add_kernel "$PWD/from" "$PWD/root" crc32c_generic crc32c_intel $MACHINE_MODULES ata_piix ahci e1000 e1000e
bootable_disk "$PWD/root" 512 initrd.img "rw quiet console=tty0 console=ttyS0 net.ifnames=0" "$OUT/$NAME.qcow2"
