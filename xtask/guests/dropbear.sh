# dropbear: busybox and dropbear, password only: no OpenSSH, no bash, no SFTP, no Python. Logs to /var/log/messages.
# parts: say packages kernel disk access busybox

fetch_packages "$PWD/debs" dropbear-bin busybox-static "$(kernel_package)"
say "unpacking"
unpack_packages "$PWD/debs" "$PWD/from"
version=$(kernel_version "$PWD/from")

busybox_system "$PWD/from" "$PWD/root" dropbear "/usr/sbin/dropbear -F -r /etc/dropbear/dropbear_ed25519_host_key"
log_to_syslog "$PWD/root"
copy_program "$PWD/from" "$PWD/root" usr/sbin/dropbear
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
small_initramfs "$PWD/from" "$version" "$PWD/root/boot/initrd.img" $MACHINE_MODULES
bootable_disk "$PWD/root" 96 initrd.img "rw quiet console=tty0 console=ttyS0 net.ifnames=0" "$OUT/$NAME.qcow2"
