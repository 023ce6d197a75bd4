# Notes that the guest is lent to $1, or tells to whom it is.
if [ -z "$h" ]; then
  rm -f "$holder.$$"
  echo "$1" >"$holder.$$" || refuse "nothing can be noted in $r of the guest"
  # A link is made once.
  ln "$holder.$$" "$holder" 2>/dev/null
  rm -f "$holder.$$"
  { IFS= read -r h <"$holder"; } 2>/dev/null
fi
if [ "$h" != "$1" ]; then
  echo "H $h"
  exit
fi
mkdir -p "$d" || refuse "nothing can be noted in $r of the guest"
