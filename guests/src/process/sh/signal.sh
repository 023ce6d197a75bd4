# Sends signal $2 to the main process, KILL to all of them.
if [ -z "$d" ]; then exit 0; fi
cd "$d" || exit 1
. ./functions
if [ "$2" != KILL ]; then
  if running; then kill -s "$2" "$P"; fi
elif [ ! -e exit ]; then
  kill_all
fi
