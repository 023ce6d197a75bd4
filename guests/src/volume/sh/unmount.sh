# Takes mount $1 away: what the image has there is seen again.
marker=$root/.mounts/$1
if [ -n "$root" ] && [ -e "$marker" ]; then
  { IFS= read -r path && read -r made; } <"$marker"
  # Who still uses it keeps it until then.
  said=$(umount "$path" 2>&1) || said=$(umount -l "$path" 2>&1) || refuse "$path cannot be unmounted in the guest:" $said
  rm -f "$marker"
  case $made in
    directory) rmdir "$path" 2>/dev/null ;;
    file) if [ ! -s "$path" ]; then rm -f "$path"; fi ;;
  esac
fi
