# Follows the journal in its export format. $1 cursor (empty: from the boot's beginning), $2 unit (empty: all of it).
# Its first line says `fresh`, `found` or `lost`: whether the cursor is still known. A known one begins with its own entry.
cursor=$1 unit=$2
newline='
'
LC_ALL=C
export LC_ALL
if ! command -v journalctl >/dev/null 2>&1; then
  exit 69
fi
exec 5<&0 </dev/null
set -- --no-pager --quiet --output=export
case $(journalctl --help 2>/dev/null) in
  *--output-fields*) set -- "$@" --output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM ;;
esac
if [ -n "$unit" ]; then set -- "$@" "--unit=$unit"; fi
if [ -z "$cursor" ]; then
  set -- "$@" --boot
  echo fresh
else
  # The cursor of the entry that is there, and on the last line how the search ended: one that failed tells nothing.
  probe=$(
    {
      journalctl "$@" --lines=1 "--cursor=$cursor"
      code=$?
      echo
      echo "$code"
    } | sed -n '1s/^__CURSOR=//p;$p'
  )
  code=${probe##*"$newline"} first=${probe%%"$newline"*}
  if [ "$code" != 0 ]; then
    echo "looking for the place in the journal failed with code $code" >&2
    exit 1
  fi
  # The same entry may stand in two files; boot, time and checksum tell that it is the same.
  if [ -n "$first" ] && [ "${first#*;b=}" = "${cursor#*;b=}" ]; then
    set -- "$@" "--cursor=$cursor"
    echo found
  else
    echo lost
  fi
fi
journalctl "$@" --no-tail --follow &
follower=$!
(
  cat <&5
  kill "$follower"
) >/dev/null 2>&1 &
watch=$!
exec 5<&-
wait "$follower"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
