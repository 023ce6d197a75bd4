# systemd: a legacy machine as companies have them: systemd, OpenSSH, a web service whose log is in the journal.
# It was set up by hand long ago, boots fast, knows DHCP only, and has never heard of cloud-init.
# parts: say packages kernel disk access debian

resolved=; ! apt-cache show systemd-resolved >/dev/null 2>&1 || resolved=,systemd-resolved
install_system "$PWD/root" "systemd-sysv,dbus,udev,openssh-server,busybox-static,iproute2,iputils-ping,procps,less$resolved"
fetch_packages "$PWD/debs" busybox-static "$(kernel_package)"
unpack_packages "$PWD/debs" "$PWD/from" 'linux-*' busybox-static

name_system "$PWD/root" legacy
well_known_password "$PWD/root"
host_keys "$PWD/root" ed25519 rsa ecdsa
root_key "$PWD/root"
cat > root/etc/ssh/sshd_config.d/legacy.conf <<'X'
PermitRootLogin yes
PasswordAuthentication yes
UsePAM no
UseDNS no
X
mkdir -p root/etc/systemd/network root/etc/systemd/journald.conf.d root/opt/legacy-app root/srv/legacy-app root/var/log/journal
cat > root/etc/systemd/network/10-eth0.network <<'X'
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
[DHCPv4]
UseMTU=yes
UseDomains=yes
X
printf '[Journal]\nStorage=persistent\nSystemMaxUse=32M\n' > root/etc/systemd/journald.conf.d/legacy.conf
cat > root/opt/legacy-app/run <<'X'
#!/bin/sh
# The application: a numbered line a second, and a web server that logs each request.
(n=0; while :; do n=$((n + 1)); echo "line $n"; sleep 1; done) &
exec /bin/busybox httpd -f -v -p 80 -h /srv/legacy-app
X
chmod +x root/opt/legacy-app/run
echo "hello from the legacy application" > root/srv/legacy-app/index.html
cat > root/etc/systemd/system/legacy-app.service <<'X'
[Unit]
Description=The legacy application
After=network.target
[Service]
ExecStart=/opt/legacy-app/run
Restart=always
[Install]
WantedBy=multi-user.target
X
chroot root systemctl -q enable systemd-networkd.service legacy-app.service ssh.service
[ -z "$resolved" ] || chroot root systemctl -q enable systemd-resolved.service
ln -sf ../run/systemd/resolve/resolv.conf root/etc/resolv.conf

# What a virtual server under emulation does not need at boot, or waits for in vain.
for unit in e2scrub_reap.service e2scrub_all.timer getty-static.service systemd-binfmt.service \
  systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pstore.service dev-hugepages.mount \
  dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount getty@tty1.service \
  modprobe@.service systemd-modules-load.service kmod-static-nodes.service systemd-tmpfiles-clean.timer \
  systemd-udev-settle.service systemd-fsck-root.service; do
  ln -sf /dev/null "root/etc/systemd/system/$unit"
done

fact user root
fact password infranetes
host_key_facts
fact cloud-init false
fact log journal:legacy-app.service
add_kernel "$PWD/from" "$PWD/root" $MACHINE_MODULES
bootable_disk "$PWD/root" 640 initrd.img "rw quiet console=tty0 console=ttyS0 net.ifnames=0" "$OUT/$NAME.qcow2"
