# Takes every mount away, the inner ones first, and removes every volume with the memory that they lie in. What cannot be taken
# away is told at the end, and tried again by whoever comes next: the memory stays for that, with what is known of the mounts.
bad=
if [ -n "$root" ]; then
  S=$(printf '\001')
  for m in $(for m in "$root"/.mounts/*; do
    if [ -e "$m" ] && IFS= read -r path <"$m"; then echo "$path$S${m##*/}"; fi
  done | sort -r | while IFS= read -r line; do echo "${line##*"$S"}"; done); do
    said=$(take "$m")
    bad=${bad:-$said}
  done
  for v in "$root"/*; do
    if [ -e "$v" ] || [ -L "$v" ]; then drop "${v##*/}"; fi
  done
  cd /
  if [ -n "$bad" ]; then
    :
  elif umount "$root" 2>/dev/null || umount -l "$root"; then
    rmdir "$root"
  else
    bad="U the memory of volumes cannot be unmounted in the guest"
  fi
fi
# Those on the disk, also of an earlier boot.
for r in /var/lib /var ''; do
  if [ -d "$r/infranetes-volumes" ] && [ -O "$r/infranetes-volumes" ]; then rm -rf "$r/infranetes-volumes"; fi
done
if [ -n "$bad" ]; then
  echo "$bad"
  exit
fi
