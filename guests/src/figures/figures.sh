# Prints what the guest says of itself, a block for each source. Needs no rights and few processes.
PATH=$PATH:/bin:/usr/bin:/sbin:/usr/sbin
LC_ALL=C
export PATH LC_ALL
for file in uptime loadavg stat; do
  line=
  read -r line <"/proc/$file"
  echo "= $file"
  echo "$line"
done
set -- /proc/[0-9]*
echo "= processes"
echo $#
echo "= meminfo"
cat /proc/meminfo
echo "= faults"
grep -E '^pg(maj)?fault ' /proc/vmstat
echo "= links"
for link in /sys/class/net/*; do
  mac=
  read -r mac <"$link/address" && echo "${link##*/} $mac"
done
echo "= net"
cat /proc/net/dev
set -- /
while read -r device place kind rest; do
  case $kind in squashfs|iso9660|udf|nfs*|fuse*) continue ;; esac
  case $device in /dev/*) ;; *) continue ;; esac
  case $place in /|*\\*) continue ;; esac
  [ $# -lt 16 ] || break
  set -- "$@" "$place"
done </proc/mounts
echo "= blocks"
df -P -k "$@" </dev/null
echo "= inodes"
df -P -i "$@" </dev/null
echo "= end"
