# The distribution's kernel, and a small initramfs of busybox with the few drivers that a virtual machine needs.

# The package of the kernel made for virtual machines: Debian's name, else Ubuntu's.
kernel_package() {
  if apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then echo linux-image-cloud-amd64; else echo linux-image-virtual; fi
}

# kernel_version ROOT: the version of the only kernel in a root.
kernel_version() {
  local image
  image=$(cd "$1/boot" && ls -1 | grep '^vmlinuz-' | sort -V | tail -n 1)
  echo "${image#vmlinuz-}"
}

# module_file ROOT VERSION NAME: the file of a kernel module; nothing if it is built in.
module_file() {
  find "$1/lib/modules/$2/kernel" \( -name "$3.ko*" -o -name "${3//_/-}.ko*" -o -name "${3//-/_}.ko*" \) | head -n 1
}

# add_module ROOT VERSION TREE NAME: copies a module and those it depends on into TREE/lib, in order of loading.
add_module() {
  local root=$1 version=$2 tree=$3 name=${4//-/_} file depends need
  [ ! -e "$tree/lib/$name.ko" ] || return 0
  file=$(module_file "$root" "$version" "$name")
  [ -n "$file" ] || return 0
  case $file in
    *.xz) xz -dc "$file" > "$tree/lib/$name.ko" ;;
    *.zst) zstd -dcq "$file" > "$tree/lib/$name.ko" ;;
    *) cp "$file" "$tree/lib/$name.ko" ;;
  esac
  depends=$(grep -az '^depends=' "$tree/lib/$name.ko" | tr -d '\0')
  depends=${depends#depends=}
  for need in ${depends//,/ }; do add_module "$root" "$version" "$tree" "$need"; done
  echo "$name" >> "$tree/lib/order"
}

# small_initramfs ROOT VERSION OUTPUT MODULE...: loads the modules, mounts root=, and hands over to its init.
small_initramfs() {
  local root=$1 version=$2 output=$3 tree name; shift 3
  tree=$(mktemp -d "$PWD/initramfs.XXXX")
  mkdir -p "$tree"/{bin,lib,proc,sys,dev,mnt}
  : > "$tree/lib/order"
  for name; do add_module "$root" "$version" "$tree" "$name"; done
  cp "$root/bin/busybox" "$tree/bin/busybox"
  cat > "$tree/init" <<'I'
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
while read -r m; do $B insmod "/lib/$m.ko" 2>/dev/null; done < /lib/order
root=; init=/sbin/init
read -r line < /proc/cmdline
for a in $line; do case $a in root=*) root=${a#root=};; init=*) init=${a#init=};; esac; done
i=0
while [ $i -lt 200 ]; do
  case $root in UUID=*|LABEL=*) device=$($B findfs "$root" 2>/dev/null);; *) device=$root;; esac
  [ -n "$device" ] && [ -b "$device" ] && break
  $B usleep 50000; i=$((i+1))
done
$B mount -t ext4 -o rw "$device" /mnt || { echo "no root file system: $root"; $B sleep 5; $B reboot -f; }
$B mount --move /dev /mnt/dev; $B mount --move /proc /mnt/proc; $B mount --move /sys /mnt/sys
exec $B switch_root /mnt "$init"
I
  chmod +x "$tree/init"
  (cd "$tree" && find . | LC_ALL=C sort | "$root/bin/busybox" cpio -o -H newc > "$output" 2>/dev/null)
  rm -rf "$tree"
}

# What a QEMU machine's disk, network, entropy, balloon, power button and panic device need.
MACHINE_MODULES="virtio_pci virtio_blk virtio_net virtio_rng virtio_scsi sd_mod virtio_balloon button evdev pvpanic pvpanic_pci pvpanic_mmio ext4"
