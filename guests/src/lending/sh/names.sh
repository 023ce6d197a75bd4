# Has the guest be called $2, and where $3 is something resolve names so: in its kernel and by a mount, never on its disk.
IFS= read -r n </proc/sys/kernel/hostname
if [ ! -s "$d/hostname" ]; then echo "$n" >"$d/hostname"; fi
why=
if [ "$n" != "$2" ]; then
  echo "$2" >/proc/sys/kernel/hostname || why="its host name cannot be set"
fi
if [ -n "$3" ]; then
  printf '%s\n' "$3" >"$d/resolv.conf"
  chmod 644 "$d/resolv.conf"
  if ! laid; then
    said=$(mount -o bind "$d/resolv.conf" /etc/resolv.conf 2>&1) || why="nothing can be mounted at /etc/resolv.conf: $said"
  fi
fi
if [ -n "$why" ]; then refuse "$why"; fi
