# What the scripts of one process share. They run in its private directory; `id` is set.

# When process $1 began, in ticks since the boot: `T`. Fails where it is not alive.
began() {
  T=
  { read -r L </proc/"$1"/stat; } 2>/dev/null || return 1
  L=${L##*) }
  set -- $L
  case $1 in Z | X) return 1 ;; esac
  T=${20}
}

# Whether it has the rights of root.
is_root() {
  while read -r k x y z; do
    if [ "$k" = Uid: ]; then break; fi
  done </proc/self/status
  [ "$y" = 0 ]
}

# The supervisor is alive.
supervised() {
  S=
  { read -r S t <supervisor; } 2>/dev/null
  [ -n "$S" ] && began "$S" && [ "$T" = "$t" ]
}

# The main process is alive: `P`.
running() {
  P=
  { read -r P t x <pid; } 2>/dev/null
  [ -n "$P" ] && began "$P" && [ "$T" = "$t" ]
}

# The processes of session $1.
session() { grep -Els "^[0-9]+ \(.*\) [^ZX] [0-9]+ [0-9]+ $1 " /proc/[0-9]*/stat; }

# The mark in the environment of its processes: `mark`. Another start of this id has another, for who looks for those of
# the first may still be at it.
read_mark() {
  { read -r S t <supervisor; } 2>/dev/null || return 1
  mark=INFRANETES_PROCESS=$id.$S.$t
}

# The processes with its mark in their environment. No small `grep` looks behind a NUL; a value may hold anything, so who
# seems to have the mark is looked at by itself.
marked() {
  read_mark || return
  tail -n +1 /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' |
    sed -n -e "/^$mark\$/p" -e '/^==> .proc.[0-9]*.environ <==$/p' |
    while read -r a f x; do
      if [ "$a" != "$mark" ]; then
        seen=$f
      elif tr '\0' '\n' <"$seen" | grep -Fqx "$mark"; then
        echo "$seen"
      fi
    done
}

# Its processes: those in its control group, those with its mark in their environment, those of its session.
members() {
  P=
  { read -r P t <pid; } 2>/dev/null
  {
    while read -r c; do cat "$c/cgroup.procs"; done <cgroups
    marked
    if [ -n "$P" ] && [ ! -e done ]; then session "$P"; fi
  } 2>/dev/null | while read -r p; do
    p=${p#/proc/}
    p=${p%%/*}
    # 0 is a process of another namespace, and to `kill` everybody.
    if [ "$p" -gt 1 ] && [ "$p" != $$ ]; then echo "$p"; fi
  done
}

# Kills them all. Fails where some do not die. That none is left has to be seen twice: who is just in `exec` shows no
# environment, and who was born while the others were looked at, of one that has ended since, was not looked at.
kill_all() {
  n=0 none=
  while [ "$n" -lt 40 ]; do
    m=$(members)
    if [ -z "$m" ]; then
      if [ -n "$none" ]; then return 0; fi
      none=1
      continue
    fi
    none=
    kill -9 $m 2>/dev/null
    n=$((n + 1))
    if [ "$n" -gt 20 ]; then sleep 1; fi
  done
  return 1
}

drop_groups() {
  while read -r c; do rmdir "$c"; done <cgroups
} 2>/dev/null

# Wakes those who wait. A FIFO that is opened for both never blocks, whoever has gone.
wake() {
  for w in w.*; do
    if [ -s "$w/want" ]; then
      true >"$w/want"
      if [ -p "$w/fifo" ]; then echo 1<>"$w/fifo"; fi
    fi
  done 2>/dev/null
}

# Writes down how it ended, once: code $1, whether memory ran out $2.
conclude() {
  if [ -e exit ]; then return; fi
  path=
  { IFS= read -r path <message_path; } 2>/dev/null
  if [ -n "$path" ] && [ -f "$path" ]; then dd if="$path" bs=4096 count=1 of="message.$$" 2>/dev/null; fi
  if [ -s "message.$$" ]; then mv "message.$$" message; fi
  echo "$1 $2 $(date +%s)" >"exit.$$"
  ln "exit.$$" exit 2>/dev/null
  rm -f "exit.$$" "message.$$"
}

# 1 where the kernel killed one of its processes for want of memory, else 0. The file `memory` names who counts it.
oom() {
  k=0 path=
  { IFS= read -r path <memory; } 2>/dev/null
  if [ -n "$path" ]; then
    while read -r key value; do
      if [ "$key" = oom_kill ] && [ "$value" != 0 ]; then k=1; fi
    done <"$path"
  fi
  echo "$k"
}

# Ends what a lost supervisor left.
take_over() {
  kill_all
  n=0
  until [ -e o.end ] && [ -e e.end ] || [ "$n" -ge 5 ]; do
    sleep 1
    n=$((n + 1))
  done
  conclude 137 0
  true >done
  wake
}

tell_exit() {
  { read -r code oom at <exit; } 2>/dev/null || return 1
  n=0
  if [ -f message ]; then
    set -- $(ls -ln message)
    n=$5
  fi
  echo "X $code $oom $at $n"
  if [ "$n" -gt 0 ]; then cat message; fi
}

# Tells what became of it.
report() {
  tries=0
  until tell_exit; do
    P=
    { read -r P t at who <pid; } 2>/dev/null
    if supervised; then
      if [ -n "$at" ]; then
        echo "R $P $at $who"
        return
      fi
    elif [ -n "$S" ] || [ "$tries" -ge 10 ]; then
      take_over
      continue
    fi
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
      echo "U the process was not started within a minute"
      return
    fi
    sleep 1
  done
}
