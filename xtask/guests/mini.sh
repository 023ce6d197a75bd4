# mini: busybox, OpenSSH and the distribution's kernel. Boots in seconds under emulation, knows DHCP only.
# parts: say packages kernel disk access busybox

fetch_packages "$PWD/debs" openssh-server openssh-sftp-server busybox-static "$(kernel_package)"
say "unpacking"
unpack_packages "$PWD/debs" "$PWD/from"
version=$(kernel_version "$PWD/from")

busybox_system "$PWD/from" "$PWD/root" mini /usr/sbin/sshd
log_to_file "$PWD/root" /var/log/app.log
copy_program "$PWD/from" "$PWD/root" usr/sbin/sshd
for program in sftp-server sshd-session sshd-auth; do
  [ ! -e "from/usr/lib/openssh/$program" ] || copy_program "$PWD/from" "$PWD/root" "usr/lib/openssh/$program"
done
mkdir -p root/etc/ssh
cat > root/etc/ssh/sshd_config <<'X'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server
X
host_keys "$PWD/root" ed25519
root_key "$PWD/root"
fact user root
fact password infranetes
host_key_facts
fact cloud-init false
fact log file:/var/log/app.log

cp "from/boot/vmlinuz-$version" root/boot/
say "making the initramfs"
small_initramfs "$PWD/from" "$version" "$PWD/root/boot/initrd.img" $MACHINE_MODULES
bootable_disk "$PWD/root" 96 initrd.img "rw quiet console=tty0 console=ttyS0 net.ifnames=0" "$OUT/$NAME.qcow2"
