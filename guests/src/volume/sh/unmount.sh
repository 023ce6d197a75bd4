# Takes mount $1 away: what the image has there is seen again. What was made for its path goes, down to the first directory of it.
marker=$root/.mounts/$1
if [ -n "$root" ] && [ -e "$marker" ]; then
  top=
  { IFS= read -r path && read -r made && read -r x && IFS= read -r top; } <"$marker"
  # Who still uses it keeps it until then. One that somebody else took away is gone.
  said=$(umount "$path" 2>&1) || said=$(umount -l "$path" 2>&1) || case $said in
    *'not mounted'* | *'o mount point'* | *'nvalid argument'* | *'o such file'*) ;;
    *) refuse "$path cannot be unmounted in the guest:" $said ;;
  esac
  rm -f "$marker"
  case $made in
    directory) rmdir "$path" 2>/dev/null ;;
    file) if [ ! -s "$path" ]; then rm -f "$path" 2>/dev/null; fi ;;
  esac
  while [ "$made" ] && [ "$top" ] && [ "$path" != "$top" ] && rmdir "${path%/*}" 2>/dev/null; do path=${path%/*}; done
fi
