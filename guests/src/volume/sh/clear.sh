# Takes every mount away, the inner ones first, and removes every volume with the memory that they lie in.
if [ -n "$root" ]; then
  S=$(printf '\001')
  for m in $(for m in "$root"/.mounts/*; do
    if [ -e "$m" ] && IFS= read -r path <"$m"; then echo "$path$S${m##*/}"; fi
  done | sort -r | while IFS= read -r line; do echo "${line##*"$S"}"; done); do
    take "$m"
  done
  for v in "$root"/*; do
    if [ -e "$v" ] || [ -L "$v" ]; then drop "${v##*/}"; fi
  done
  cd /
  umount "$root" 2>/dev/null || umount -l "$root" || refuse "the memory of volumes cannot be unmounted in the guest"
  rmdir "$root"
fi
# Those on the disk, also of an earlier boot.
for r in /var/lib /var ''; do
  if [ -d "$r/infranetes-volumes" ] && [ -O "$r/infranetes-volumes" ]; then rm -rf "$r/infranetes-volumes"; fi
done
