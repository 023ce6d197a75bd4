# Removes volume $1.
if [ -n "$root" ]; then
  v=${root:?}/$1
  if [ -L "$v" ]; then rm -rf "$(readlink "$v")"; fi
  umount "$v" 2>/dev/null
  rm -rf "$v"
fi
