# Gives the names back that the guest had, and forgets that it was lent to $1. Lent to somebody else, it is left alone.
if [ -n "$h" ] && [ "$h" != "$1" ]; then
  echo "H $h"
  exit
fi
why=
if [ -e "$d/resolving" ]; then
  said=$(umount /etc/resolv.conf 2>&1) || said=$(umount -l /etc/resolv.conf 2>&1) || why="/etc/resolv.conf cannot be unmounted: $said"
fi
if [ -s "$d/hostname" ]; then
  IFS= read -r n <"$d/hostname"
  echo "$n" >/proc/sys/kernel/hostname || why="its host name cannot be set back"
fi
if [ -n "$why" ]; then refuse "$why"; fi
rm -rf "${d:?}" "$holder"
