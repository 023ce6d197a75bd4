# Starts the process, once. Before this: `functions`, `supervise`, `launch`, `stdin`, `tty` and place.sh; $1 id.
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
  mkdir "$t" 2>/dev/null
  if [ -O "$t" ] && [ ! -L "$t" ] && { [ -d "$t/$boot" ] || mkdir "$t/$boot" 2>/dev/null; }; then
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
claim='spec=$(cat)
case $spec in *"#end") ;; *) exit 1 ;; esac
d=$1 id=$2
if ! mkdir "$d" 2>/dev/null; then
  if [ -d "$d" ]; then echo E >&3; else echo "U $d cannot be made in the guest" >&3; fi
  exit
fi
cd "$d"
printf "%s\n" "$5" >functions.new
. ./functions.new
began $$
echo "$$ $T" >supervisor
mv functions.new functions
printf "%s\n" "$spec" >launch
printf "%s\n" "$6" >supervise
exec env -i PATH="$PATH" sh "$d/supervise" "$d" "$id" "$3" "$4"'
# The supervisor must not be of the background, see there. So this waits for it, until it is killed by who has the answer.
answer=$(
  (
    p=$(exec sh -c 'echo $PPID')
    printf '%s\n#end' "$launch" |
      setsid sh -c "$claim" sh "$d" "$id" "$stdin" "$tty" "$functions" "$supervise" 3>&1 >/dev/null |
      {
        read -r answer
        echo "$answer" >&3
        kill -9 "$p"
      }
  ) 3>&1 >/dev/null 2>&1
)
if [ "$answer" = E ]; then there; fi
echo "$answer"
