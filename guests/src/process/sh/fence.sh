# Puts control groups around the program. `cpu` (thousandths of a processor), `memory` (bytes) and `pids` are its limits,
# each may be empty. The file `cgroups` names the groups that it has to enter, `memory` the one who counts kills.

no_limit() { echo "the guest cannot limit $1: $2" >refused; }

# Writes $2 into file $1 of group `g`; else refuses the limit on $3.
limit_by() {
  if { echo "$2" >"$g/$1"; } 2>/dev/null; then return; fi
  no_limit "$3" "its kernel has no $1 in control group $g, or does not let it be set"
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

fence() {
  cpu=$1 memory=$2 pids=$3
  if [ "$(id -u)" != 0 ]; then
    if [ -n "$cpu$memory$pids" ]; then no_limit a\ process "the session needs root's rights, or sudo without a password"; fi
    return
  fi
  # A kernel that has them, and nobody who uses them.
  if [ -d /sys/fs/cgroup ] && ! grep -q ' cgroup2* ' /proc/mounts && grep -q cgroup2 /proc/filesystems; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
  fi
  if [ -e /sys/fs/cgroup/cgroup.controllers ] && unified /sys/fs/cgroup; then
    if [ -n "$memory" ]; then
      limit_by memory.max "$memory" memory
      { echo 0 >"$g/memory.swap.max"; } 2>/dev/null
    fi
    if [ -n "$pids" ]; then limit_by pids.max "$pids" processes; fi
    if [ -n "$cpu" ]; then limit_by cpu.max "$((cpu * 100)) 100000" processors; fi
    return
  fi
  if apart memory; then
    if [ -e "$g/memory.oom_control" ]; then echo "$g/memory.oom_control" >memory; fi
    if [ -n "$memory" ]; then
      limit_by memory.limit_in_bytes "$memory" memory
      { echo "$memory" >"$g/memory.memsw.limit_in_bytes"; } 2>/dev/null
    fi
    memory=
  fi
  if apart pids; then
    if [ -n "$pids" ]; then limit_by pids.max "$pids" processes; fi
    pids=
  fi
  if apart cpu; then
    if [ -n "$cpu" ]; then
      { echo 100000 >"$g/cpu.cfs_period_us"; } 2>/dev/null
      limit_by cpu.cfs_quota_us "$((cpu * 100))" processors
    fi
    cpu=
  fi
  if [ ! -e cgroups ]; then apart freezer; fi
  for x in ${memory:+memory} ${pids:+processes} ${cpu:+processors}; do
    no_limit "$x" "control groups are not there, or without the controller"
  done
}
