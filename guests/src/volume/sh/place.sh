# Finds the memory that volumes lie in: `root`. It goes with a reboot, as the mounts do.
root_only "volumes need"
root=
for r in /run /dev/shm /tmp; do
  if [ -d "$r/infranetes-volumes/.mounts" ]; then root=$r/infranetes-volumes; fi
done
make_root() {
  for r in /run /dev/shm /tmp; do
    root=$r/infranetes-volumes
    if [ ! -d "$root" ] && ! mkdir -m 700 "$root" 2>/dev/null; then continue; fi
    if [ -O "$root" ] && [ ! -L "$root" ] && mount -t tmpfs -o mode=700 infranetes "$root"; then
      # What is mounted below a volume's path is not to be seen, nor removed, in the volume itself.
      mount --make-private "$root"
      mkdir "$root/.mounts"
      return
    fi
  done
  refuse "none of /run, /dev/shm and /tmp can hold volumes in the guest: a tmpfs cannot be mounted there"
}
