# Starts the process, once. Before this: place.sh, and what claim.sh takes; $1 id.
there() {
  cd "$d" || exit 1
  n=0
  until [ -s functions ] || [ "$n" -ge 10 ]; do
    sleep 1
    n=$((n + 1))
  done
  . ./functions
  report
  exit
}
exec </dev/null
if [ -n "$d" ]; then there; fi
for r in /run /dev/shm /tmp; do
  t=$r/$name
  # Somebody else may make them at the same time.
  if [ ! -d "$t" ]; then mkdir "$t" 2>/dev/null; fi
  if [ ! -O "$t" ] || [ -L "$t" ]; then continue; fi
  if [ ! -d "$t/$boot" ]; then mkdir "$t/$boot" 2>/dev/null; fi
  if [ -d "$t/$boot" ] && [ -w "$t/$boot" ]; then
    d=$t/$boot/$id
    break
  fi
done
if [ -z "$d" ]; then
  echo "U none of /run, /dev/shm and /tmp can be written to in the guest"
  exit
fi
for r in "$t"/*; do
  if [ "$r" != "$t/$boot" ]; then rm -rf "$r"; fi
done
# The supervisor must not be of the background, see there. So this waits for it, until it is killed by who has the answer.
answer=$(
  (
    read -r p x </proc/self/stat
    printf '%s\n#end' "$launch" |
      setsid sh -c "$claim" sh "$d" "$id" "$stdin" "$tty" "$cpu" "$memory" "$pids" "$family" "$functions" "$fence" \
        "$supervise" 3>&1 >/dev/null |
      {
        read -r answer
        echo "$answer" >&3
        kill -9 "$p"
      }
  ) 3>&1 >/dev/null 2>&1
)
if [ "$answer" = E ]; then there; fi
echo "$answer"
