# Ends whatever is left of the process and removes all traces.
if [ -z "$d" ]; then exit 0; fi
cd "$d" || exit 1
if [ -s functions ]; then
  . ./functions
  if [ ! -e done ]; then
    supervised
    if [ -n "$S" ]; then
      kill -9 "$S" 2>/dev/null
      kill_all || echo "some processes do not die" >&2
      for p in $(session "$S"); do
        p=${p#/proc/}
        kill -9 "${p%%/*}" 2>/dev/null
      done
    fi
  fi
  drop_groups
fi
# An old systemd remembers a unit that failed, and would refuse its name.
if [ -e failing ]; then systemctl reset-failed "infranetes-$id.service" 2>/dev/null; fi
cd /
n=0
# A follower writes beside it until it has seen that all is over.
until rm -rf "$d" 2>/dev/null; do
  n=$((n + 1))
  if [ "$n" -ge 10 ]; then
    rm -rf "$d"
    exit
  fi
  if [ "$n" -gt 2 ]; then sleep 1; fi
done
