# Runs the process and keeps its output and its end. $1 private directory, $2 id, $3 closed|once|kept, $4 tty or nothing,
# $5 $6 $7 limits as in fence.sh. File descriptor 3, or the FIFO `answer`, takes the answer to who started it.
d=$1 id=$2 stdin=$3 tty=$4
cd "$d" || exit 1
if [ -p answer ]; then exec 3>answer >/dev/null 2>&1; fi
. ./functions
began $$ && echo "$$ $T" >supervisor
# A guest that shuts down asks everybody to end: the program first, this at its end. Not ignored: it would inherit that.
trap : TERM
umask 077
base=1000000000000000
limit=4194304
segment=262144
mkdir w.o w.e || exit 1
# A process of another user opens its output again.
umask 055
mkfifo life o e w.o/fifo w.e/fifo || exit 1
umask 077
# Whoever follows reads this one, and sees its end with ours.
exec 9<>life
{ echo -900 >/proc/self/oom_score_adj; } 2>/dev/null

# The position of file descriptor 4: `P`.
where() {
  while read -r key P; do
    if [ "$key" = pos: ]; then return; fi
  done </proc/self/fdinfo/4
}

# Waits until little enough of stream $1, which ends at $2, is unreleased and the disk has room.
room() {
  s=$1 end=$2
  while [ ! -e exit ]; do
    echo >"w.$s/want"
    set -- "$s".1*
    if [ $((end + base - ${1#?.})) -ge "$limit" ]; then
      read -r x <&5
      continue
    fi
    set -- $(df -Pk . 2>/dev/null)
    case ${11} in '' | *[!0-9]*) return ;; esac
    if [ "${11}" -ge 2048 ]; then return; fi
    sleep 1
  done
}

# Moves stream $1 from its FIFO into segments that are named by where they begin.
pump() {
  exec 3>&- 9<&-
  exec 5<>"w.$1/fifo" <"$1"
  at=0 last=0
  exec 4>"$1.$base"
  while :; do
    dd bs=65536 count=1 >&4 2>/dev/null
    where
    if [ "$P" = "$last" ]; then break; fi
    last=$P
    wake
    if [ "$last" -ge "$segment" ]; then
      at=$((at + last)) last=0
      exec 4>"$1.$((base + at))"
      room "$1" "$at"
    fi
  done
  true >"$1.end"
}

# Keeps standard input open until it is said that it has ended.
hold() {
  exec 3>&- 9<&- 5>in 6<>hold
  if [ ! -e in.end ]; then read -r x <&6; fi
}

# Before there are further processes, which would all have to be moved.
. ./fence
fence "$5" "$6" "$7"
pump o &
pumps=$!
pump e &
pumps="$pumps $!"
in=/dev/null holder=
if [ "$stdin$tty" != closed ]; then
  in=in
  mkfifo -m 622 in && mkfifo hold
  hold &
  holder=$!
fi

# In the foreground: what a shell starts in the background ignores SIGINT.
if [ -s refused ] || [ -e exit ]; then
  # Refused already, or given up by who waited for too long.
  true >o 2>e
elif [ -z "$tty" ]; then
  setsid sh launch "$d" "$id" <"$in" >o 2>e 9<&-
elif script --version 2>/dev/null | grep -q util-linux; then
  SHELL=/bin/sh script -qefc "exec sh $d/launch $d $id" /dev/null <"$in" >o 2>e 9<&-
elif command -v python3 >/dev/null 2>&1; then
  python3 -c 'import os, pty, sys
s = pty.spawn(sys.argv[1:])
sys.exit(os.WEXITSTATUS(s) if os.WIFEXITED(s) else 128 + os.WTERMSIG(s))' sh "$d/launch" "$d" "$id" <"$in" >o 2>e 9<&-
else
  echo "a terminal needs the program script of util-linux, or python3, in the guest" >refused
  true >o 2>e
fi
code=$?
if [ -s refused ]; then
  # Nothing is left when it is told.
  refused=$(cat refused)
  if [ -n "$holder" ]; then kill "$holder" 2>/dev/null; fi
  wait $pumps
  drop_groups
  cd /
  rm -rf "$d"
  echo "U $refused" >&3
  exit
fi
exec 3>&-
conclude "$code" "$(oom)"
kill_all
if [ -n "$holder" ]; then kill "$holder" 2>/dev/null; fi
wake
# What is left in the pipes is there already. A writer that cannot be killed is not waited for.
(
  exec 9<&-
  trap 'kill "$s"; exit' TERM
  sleep 10 &
  s=$!
  wait "$s"
  kill -9 $pumps
) >/dev/null 2>&1 &
guard=$!
wait $pumps
kill "$guard" 2>/dev/null
true >done
wake
