# Tells the ids of all processes of this boot; where there are none, their directory goes.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
u= boot=
while read -r k x y z; do if [ "$k" = Uid: ]; then u=$y; break; fi; done </proc/self/status
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
name=infranetes
if [ "$u" != 0 ]; then name=infranetes-$u; fi
for r in /run /dev/shm /tmp; do
  t=$r/$name
  if [ -O "$t" ] && [ ! -L "$t" ]; then
    for p in "$t/$boot"/*; do
      if [ -d "$p" ]; then echo "${p##*/}"; fi
    done
    rmdir "$t/$boot" "$t" 2>/dev/null
  fi
done
exit 0
