# Ends the script where the guest is not lent to $1 any more, or where that is nobody, is lent.
for r in /run /dev/shm /tmp; do if [ -d "$r" ] && [ -w "$r" ]; then break; fi; done
h=
{ IFS= read -r h <"$r/infranetes-lent.holder"; } 2>/dev/null
if [ "$h" != "$1" ]; then
  echo "it is lent to ${h:-nobody}" >&2
  exit 75
fi
shift
