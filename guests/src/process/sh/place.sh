# Finds the private directory of process $1: `d`. It does not survive a reboot: the boot's own id is a part of its path.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
id=$1 u= boot=
while read -r k x y z; do if [ "$k" = Uid: ]; then u=$y; break; fi; done </proc/self/status
umask 077
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
name=infranetes
if [ "$u" != 0 ]; then name=infranetes-$u; fi
d=
for r in /run /dev/shm /tmp; do
  t=$r/$name
  if [ -O "$t" ] && [ ! -L "$t" ] && [ -d "$t/$boot/$id" ]; then
    d=$t/$boot/$id
    break
  fi
done
