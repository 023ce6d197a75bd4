# Puts control groups around the program, and limits them. The file `cgroups` names the groups that it has to enter,
# `memory` the one who counts kills.

no_limit() { why="the guest cannot limit $1: $2"; }

# Writes $2 into file $1 of group `g`, for the limit on $4; where there is none, $3, which lifts an earlier one.
limit_by() {
  if { echo "${2:-$3}" >"$g/$1"; } 2>/dev/null || [ -z "$2" ]; then return; fi
  no_limit "$4" "its kernel has no $1 in control group $g, or does not let it be set"
}

# Sets the limits: thousandths of a processor, bytes, processes; each may be empty. `why` is why one cannot be, or empty.
limit() {
  cpu=$1 memory=$2 pids=$3 why=
  if [ -n "$cpu" ]; then cpu=$((cpu * 100)); fi
  if ! is_root; then
    if [ -n "$cpu$memory$pids" ]; then no_limit "a process" "the session needs root's rights, or sudo without a password"; fi
    return
  fi
  if [ ! -e cgroups ]; then true >cgroups; fi
  while read -r g; do
    if [ -e "$g/memory.max" ]; then
      # The kernel would kill the program for what it holds already.
      held=0
      if [ -n "$memory" ]; then held=$(sed -n 's/^anon //p' "$g/memory.stat" 2>/dev/null); fi
      if [ -n "$memory" ] && [ "${held:-0}" -ge "$memory" ]; then
        no_limit memory "the process holds $held bytes"
      else
        limit_by memory.max "$memory" max memory
        if [ -n "$memory" ]; then swap=0; else swap=max; fi
        { echo "$swap" >"$g/memory.swap.max"; } 2>/dev/null
      fi
      memory=
    elif [ -e "$g/memory.limit_in_bytes" ]; then
      # The bound of both is never below that of memory alone.
      { echo "${memory:--1}" >"$g/memory.memsw.limit_in_bytes"; } 2>/dev/null
      limit_by memory.limit_in_bytes "$memory" -1 memory
      { echo "${memory:--1}" >"$g/memory.memsw.limit_in_bytes"; } 2>/dev/null
      memory=
    fi
    if [ -e "$g/pids.max" ]; then
      limit_by pids.max "$pids" max processes
      pids=
    fi
    if [ -e "$g/cpu.max" ]; then
      limit_by cpu.max "${cpu:+$cpu 100000}" "max 100000" processors
      cpu=
    elif [ -e "$g/cpu.cfs_quota_us" ]; then
      { echo 100000 >"$g/cpu.cfs_period_us"; } 2>/dev/null
      limit_by cpu.cfs_quota_us "$cpu" -1 processors
      cpu=
    fi
  done <cgroups
  for x in ${memory:+memory} ${pids:+processes} ${cpu:+processors}; do
    no_limit "$x" "control groups are not there, or without the controller"
  done
}

# One hierarchy: below the unit that this is of, where systemd is, else below a group of our own.
unified() {
  root=$1 unit=
  if [ -d /run/systemd/system ]; then
    while IFS=: read -r n c path; do
      case $n:$path in 0:*/infranetes-"$id".service) unit=$1$path ;; esac
    done </proc/self/cgroup
  fi
  if [ -n "$unit" ]; then
    root=$unit g=$unit/main
    # A group that hands out controllers holds no process of its own.
    mkdir "$unit/supervisor" "$g" && echo $$ >"$unit/supervisor/cgroup.procs"
  else
    g=$root/infranetes/$id
    mkdir -p "$g"
  fi
  for c in cpu memory pids; do
    echo "+$c" >"$root/cgroup.subtree_control"
    if [ -z "$unit" ]; then echo "+$c" >"$root/infranetes/cgroup.subtree_control"; fi
  done
  if [ ! -d "$g" ]; then return 1; fi
  echo "$g" >cgroups
  if [ -e "$g/memory.events" ]; then echo "$g/memory.events" >memory; fi
} 2>/dev/null

# A hierarchy for each controller: the group of controller $1, `g`.
apart() {
  g=
  while read -r x at kind options x; do
    case $kind,$options, in cgroup,*,"$1",*) g=$at/infranetes/$id ;; esac
  done </proc/mounts
  if [ -z "$g" ] || ! mkdir -p "$g" 2>/dev/null; then return 1; fi
  echo "$g" >>cgroups
}

# The groups, where there are any.
enclose() {
  if ! is_root; then return; fi
  # A kernel that has them, and nobody who uses them.
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ -d /sys/fs/cgroup ] && ! grep -q ' cgroup2* ' /proc/mounts && grep -q cgroup2 /proc/filesystems; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
  fi
  if [ -e /sys/fs/cgroup/cgroup.controllers ] && unified /sys/fs/cgroup; then return; fi
  if apart memory && [ -e "$g/memory.oom_control" ]; then echo "$g/memory.oom_control" >memory; fi
  apart pids
  apart cpu
  if [ ! -e cgroups ]; then apart freezer; fi
}

fence() {
  enclose
  limit "$1" "$2" "$3"
  if [ -n "$why" ]; then echo "$why" >refused; fi
}
