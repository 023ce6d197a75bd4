# A bootable disk from a folder: MBR, GRUB and one ext4 partition, without a loop device or a mount.

# bootable_disk ROOT MEGABYTES INITRD OPTIONS OUTPUT
bootable_disk() {
  local root=$1 size=$2 initrd=$3 options=$4 output=$5 compress=() kernel uuid modules=/usr/lib/grub/i386-pc start=1048576 raw
  kernel=$(cd "$root/boot" && ls -1 | grep '^vmlinuz-' | sort -V | tail -n 1)
  uuid=$(cat /proc/sys/kernel/random/uuid)
  raw=$PWD/disk.raw
  say "making a disk of $size MB"
  rm -f "$raw"; truncate -s "${size}M" "$raw"
  mkdir -p "$root/boot/grub/i386-pc"
  # By the 16-bit way in: by the other one GRUB moves all that the kernel will unpack to, 54 MB, byte by byte, which costs an
  # emulated machine a third of its boot.
  cat > "$root/boot/grub/grub.cfg" <<C
set timeout=0
linux16 /boot/$kernel root=UUID=$uuid $options
initrd16 /boot/$initrd
boot
C
  if [ -d "$root/etc" ]; then echo "UUID=$uuid / ext4 rw,errors=remount-ro 0 1" > "$root/etc/fstab"; fi
  partition_table "$size" | dd of="$raw" bs=1 seek=446 conv=notrunc status=none
  mke2fs -q -t ext4 -O ^metadata_csum_seed,^orphan_file -U "$uuid" -E offset=$start,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$raw" "$((size - 1))M" 2>&1 \
    | grep -v -e 'contains' -e '^$' >&2 || true
  grub-mkimage -O i386-pc -o core.img -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2 linux16 normal echo
  [ "$(stat -c %s core.img)" -lt $((start - 512)) ] || fail "the boot loader does not fit before the first partition"
  dd if=$modules/boot.img of="$raw" bs=446 count=1 conv=notrunc status=none
  dd if=core.img of="$raw" bs=512 seek=1 conv=notrunc status=none
  # A boot unpacks each compressed cluster as often as its boot loader reads a part of it: only what is large is worth that.
  if [ "$size" -gt 128 ]; then compress=(-c); say "compressing the disk"; fi
  qemu-img convert -f raw -O qcow2 "${compress[@]}" "$raw" "$output"
  rm -f "$raw"
}

# partition_table MEGABYTES: the last 66 bytes of an MBR with one active Linux partition from the first megabyte to the end.
partition_table() {
  local sectors=$((($1 - 1) * 2048)) bytes=
  bytes+='\x80\xfe\xff\xff\x83\xfe\xff\xff\x00\x08\x00\x00'
  bytes+=$(printf '\\x%02x' $((sectors & 255)) $((sectors >> 8 & 255)) $((sectors >> 16 & 255)) $((sectors >> 24 & 255)))
  printf "$bytes"
  head -c 48 /dev/zero
  printf '\x55\xaa'
}
