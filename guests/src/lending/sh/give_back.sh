# Gives the names back that the guest had, and forgets that it was lent to $1, but where $2 says to keep that in mind. Lent to
# somebody else, it is left alone.
if [ -n "$h" ] && [ "$h" != "$1" ]; then
  echo "H $h"
  exit
fi
why=
while laid; do
  said=$(umount "$p" 2>&1) || said=$(umount -l "$p" 2>&1) || {
    why="$p cannot be unmounted: $said"
    break
  }
done
if [ -s "$d/hostname" ]; then
  IFS= read -r n <"$d/hostname"
  if echo "$n" >/proc/sys/kernel/hostname; then rm -f "$d/hostname"; else why="its host name cannot be set back"; fi
fi
if [ -n "$why" ]; then refuse "$why"; fi
if [ -z "$2" ]; then rm -rf "${d:?}" "$holder"; fi
