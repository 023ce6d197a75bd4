# critest: what the containers are to critest that this project runs: busybox with the few further programs and users that its
# specs ask for, a web server on port 80, dropbear. It boots as fast as an image with a boot loader can.
# parts: say packages kernel disk access busybox upstream

fetch_packages "$PWD/debs" dropbear-bin busybox-static util-linux "$(kernel_package)"
say "unpacking"
unpack_packages "$PWD/debs" "$PWD/from"
version=$(kernel_version "$PWD/from")

busybox_system "$PWD/from" "$PWD/root" critest "/usr/sbin/dropbear -F -r /etc/dropbear/dropbear_ed25519_host_key"
copy_program "$PWD/from" "$PWD/root" usr/sbin/dropbear
# A process of another user needs more than busybox's own setpriv.
rm root/bin/setpriv
copy_program "$PWD/from" "$PWD/root" usr/bin/setpriv

upstream_users "$PWD/root"
upstream_programs "$PWD/root"
# Limits need control groups.
cat > root/etc/syslog <<'X'
#!/bin/sh
mount -t cgroup2 cgroup2 /sys/fs/cgroup
syslogd -O /var/log/messages
X
cat > root/etc/application <<'X'
#!/bin/sh
logger -t httpd "serves /var/www on port 80"
X
chmod +x root/etc/syslog root/etc/application
# Nobody sits at the console.
sed -i '/getty/d' root/etc/inittab

mkdir -p root/etc/dropbear
key=root/etc/dropbear/dropbear_ed25519_host_key
run_program "$PWD/from" usr/bin/dropbearkey -t ed25519 -f "$key" > dropbearkey.txt 2>&1
grep '^ssh-ed25519 ' dropbearkey.txt > "$OUT/$NAME.hostkey.pub"
fact user root
fact password infranetes
host_key_facts
fact cloud-init false
fact log file:/var/log/messages

cp "from/boot/vmlinuz-$version" root/boot/
say "making the initramfs"
# A bridge can be made by who may.
small_initramfs "$PWD/from" "$version" "$PWD/root/boot/initrd.img" $MACHINE_MODULES bridge
bootable_disk "$PWD/root" 96 initrd.img "rw quiet console=tty0 console=ttyS0 net.ifnames=0" "$OUT/$NAME.qcow2"
