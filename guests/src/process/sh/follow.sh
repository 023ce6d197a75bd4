# Follows the output of the process. $2 $3: the places in its standard output and error (-: the present ends).
#
# What it prints: `S O E`, where it begins; `o OFFSET N` or `e OFFSET N` and N bytes of that stream; `X CODE OOM TIME N` and N bytes of the message,
# which is the last; or `A` where there is no such process. What it reads: `R O E`, the places before which all is
# written down; the end of it ends the follower.
if [ -z "$d" ]; then
  echo A
  exit
fi
cd "$d" && . ./functions || exit 1
exec 5<&0 </dev/null
base=1000000000000000
at_o=$2 at_e=$3 open_o= open_e=
main=$$
for w in w.[0-9]*; do
  if ! kill -0 "${w#w.}" 2>/dev/null; then rm -rf "$w"; fi
done
w=w.$$
mkdir "$w" && mkfifo "$w/fifo" && exec 6<>"$w/fifo" || exit 1
# Opened like this it neither waits for the supervisor, nor misses its end.
exec 7<>life 8<life 7<&-
# A killed supervisor closes it a moment before it is seen to be dead, so this wakes more than once.
(
  read -r x
  while echo >&6; do sleep 1; done
) <&8 5<&- >/dev/null 2>&1 &
watch=$!
exec 8<&-

# Stream $1 is not needed before $2.
release() {
  last=
  for f in "$1".1*; do
    if [ -n "$last" ] && [ $((${f#?.} - base)) -le "$2" ]; then rm -f "$last"; fi
    last=$f
  done
}
(
  while read -r x o e; do
    release o "$o"
    release e "$e"
    wake
  done
  rm -rf "$w"
  kill "$watch" "$main"
) <&5 6<&- >/dev/null 2>&1 &
released=$!
exec 5<&-
trap 'kill "$watch" "$released" 2>/dev/null; rm -rf "$w"' EXIT

say() { printf '%s\n' "$*" || exit 0; }

# The segments and their sizes: `list`.
look() {
  set -- $(ls -ln o.1* e.1* 2>/dev/null)
  list=
  while [ $# -ge 9 ]; do
    list="$list $9:$5"
    shift 9
  done
}

# Finds in stream $1 the segment that holds place $2, else the first after it: `k` where it begins, `n` its size.
find_segment() {
  for f in $list; do
    case $f in "$1".*) ;; *) continue ;; esac
    n=${f#*:} k=${f#?.}
    k=$((${k%:*} - base))
    if [ "$k" -gt "$2" ] || [ $((k + n)) -gt "$2" ]; then return 0; fi
  done
  return 1
}

# Sends what stream $1 has at place $2, through file descriptor $3; `k` is the segment and `at` the place then.
send() {
  at=$2
  find_segment "$1" "$at" && [ "$n" -gt 0 ] || return 1
  if [ "$k" -gt "$at" ]; then at=$k; fi
  n=$((k + n - at))
  if [ "$n" -gt 131072 ]; then n=131072; fi
  if [ "$4" != "$k" ]; then
    eval "command exec $3<$1.$((base + k))" 2>/dev/null || return 0
    if [ "$at" -gt "$k" ]; then eval "dd bs=1 skip=$((at - k)) count=0 <&$3" >/dev/null 2>&1; fi
  fi
  say "$1" "$at" "$n"
  eval "dd bs=$n count=1 <&$3" 2>/dev/null
  at=$((at + n)) sent=1
}

end_of() {
  at=0
  for f in $list; do
    case $f in "$1".*) at=${f#?.} at=$((${at%:*} - base + ${f#*:})) ;; esac
  done
}
look
if [ "$at_o" = - ]; then
  end_of o
  at_o=$at
fi
if [ "$at_e" = - ]; then
  end_of e
  at_e=$at
fi
say S "$at_o" "$at_e"

while :; do
  echo >"$w/want"
  ended=
  if [ -e "done" ]; then ended=1; fi
  sent=
  look
  if send o "$at_o" 3 "$open_o"; then at_o=$at open_o=$k; fi
  if send e "$at_e" 4 "$open_e"; then at_e=$at open_e=$k; fi
  if [ -n "$sent" ]; then continue; fi
  if [ -n "$ended" ]; then
    tell_exit
    exit 0
  fi
  if [ ! -e supervisor ]; then
    say A
    exit 0
  fi
  if ! supervised; then
    take_over
    continue
  fi
  read -r x <&6
done
