# cloud: an image as the distribution's own cloud images are: systemd, cloud-init, OpenSSH; no password, no host keys,
# nothing of this project in it. It reads a NoCloud seed.
# parts: say packages kernel disk access debian

resolved=; ! apt-cache show systemd-resolved >/dev/null 2>&1 || resolved=,systemd-resolved
kernel=$(kernel_package)
install_system "$PWD/root" "systemd-sysv,dbus,udev,cloud-init,cloud-guest-utils,fdisk,e2fsprogs,openssh-server,sudo,bash-completion,iproute2,iputils-ping,procps,less,ca-certificates,initramfs-tools,$kernel$resolved"

name_system "$PWD/root" localhost
rm -f root/etc/hostname
printf 'datasource_list: [ NoCloud, None ]\nlocale: C.UTF-8\n' > root/etc/cloud/cloud.cfg.d/90_dpkg.cfg
chroot root systemctl -q enable systemd-networkd.service ssh.service
[ -z "$resolved" ] || chroot root systemctl -q enable systemd-resolved.service
ln -sf ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf

fact cloud-init true
fact log journal
initrd=$(cd root/boot && ls -1 | grep '^initrd.img-' | sort -V | tail -n 1)
bootable_disk "$PWD/root" 1536 "$initrd" "ro console=tty0 console=ttyS0,115200 net.ifnames=0" "$OUT/$NAME.qcow2"
