# Becomes the program, with the arguments that it will have. Before this: what is asked (user uid gid groups strict
# capabilities workdir message privileges), `d` the private directory, `id`, `inside` where it is one more process beside the main one; after it: the
# environment. File descriptor 3 as in the supervisor.
refuse() {
  if [ -n "$inside" ]; then
    printf '%s\n' "$*" >&2
    exit 126
  fi
  printf '%s\n' "$*" >"$d/refused"
  exit 69
}
# Whether a setpriv that is more than busybox's takes these options: `t`. A busybox that prefers its own is passed by.
can_setpriv() {
  for t in setpriv /usr/bin/setpriv; do
    if "$t" "$@" true 2>/dev/null; then return; fi
  done
  return 1
}
cd "$d" && . ./functions && read_mark || refuse "the process is being removed"
u= own= held= asked=$groups
while read -r k x y z; do
  case $k in
    Uid:) u=$y ;;
    Gid:) own=$y ;;
    Groups:)
      held="$x $y $z"
      break
      ;;
  esac
done </proc/self/status
{ echo 0 >/proc/self/oom_score_adj; } 2>/dev/null
if [ -e cgroups ]; then
  while read -r c; do
    { echo $$ >"$c/cgroup.procs"; } 2>/dev/null || refuse "the guest does not let a process into control group $c"
  done <cgroups
fi

# Who it is, as the guest's lists of users and groups say. The first in the list is root.
if [ -n "$user" ]; then uid=$(id -u "$user" 2>/dev/null) || refuse "the guest has no user $user"; fi
: "${uid:=$u}"
entry=
{ IFS= read -r entry </etc/passwd; } 2>/dev/null
t=${entry#*:*:}
if [ "${t%%:*}" != "$uid" ]; then
  entry=$(getent passwd "$uid" 2>/dev/null) || entry=$(grep "^[^:]*:[^:]*:$uid:" /etc/passwd 2>/dev/null)
fi
listed() {
  IFS=:
  set -- $entry
  unset IFS
  home=${6:-/} user=$1
  : "${gid:=${4:-0}}"
}
# Whether a group lists user $1.
is_member() {
  while IFS=: read -r x x x members; do
    case ,$members, in *,"$1",*) return ;; esac
  done </etc/group
  return 1
}
set -f
listed
# The groups of who is logged in are known; strictly, only what is asked for counts.
others=
for g in $held; do if [ "$g" != "$own" ]; then others="$others $g"; fi; done
changed=
if [ "$uid:$gid:$asked" != "$u:$own:" ] || { [ -n "$strict" ] && [ -n "$others" ]; }; then changed=1; fi
if [ -z "$strict" ]; then
  # A service manager gives its own processes no groups.
  if [ "$uid" != "$u" ] || { [ "$u:$others" = 0: ] && [ -d /run/systemd/system ] && is_member "$user"; }; then
    others=
    if [ -n "$user" ]; then others=$(id -G "$user" 2>/dev/null); fi
    for g in $others; do if [ "$g" != "$gid" ]; then changed=1; fi; done
  fi
  for g in $others; do
    if [ "$g" != "$gid" ]; then groups=$groups${groups:+,}$g; fi
  done
fi

# The prefix that makes the program's process be of that user.
if [ "$u" != 0 ]; then
  if [ -n "$changed" ]; then
    refuse "a process of another user or group needs a session with root's rights, or sudo without a password"
  fi
  if [ -n "$capabilities" ]; then
    refuse "capabilities are dropped by root only: log in as root, or allow sudo without a password"
  fi
elif [ -n "$capabilities" ]; then
  # By their numbers: a setpriv that is older than the kernel knows no word for all of them.
  none=-all n=0 x=$(cat /proc/sys/kernel/cap_last_cap 2>/dev/null)
  if [ -n "$x" ]; then none=; fi
  while [ "$n" -le "${x:--1}" ]; do
    none=$none${none:+,}-cap_$n
    n=$((n + 1))
  done
  case $capabilities in -all*) capabilities=$none${capabilities#-all} ;; esac
  if can_setpriv --reuid "$uid" --regid "$gid" --clear-groups --bounding-set "$capabilities" --inh-caps "$none"; then
    set -- --bounding-set "$capabilities" --inh-caps "$none" -- "$@"
    if [ -n "$groups" ]; then set -- --groups "$groups" "$@"; else set -- --clear-groups "$@"; fi
    set -- "$t" --reuid "$uid" --regid "$gid" "$@"
  else
    refuse "the guest cannot drop capabilities: it needs setpriv of util-linux, which knows all that are named"
  fi
elif [ -n "$changed" ]; then
  shell=$(command -v sh)
  if can_setpriv --reuid "$uid" --regid "$gid" --clear-groups; then
    if [ -n "$groups" ]; then set -- --groups "$groups" -- "$@"; else set -- --clear-groups -- "$@"; fi
    set -- "$t" --reuid "$uid" --regid "$gid" "$@"
  elif t=$(command -v chroot) && chroot --userspec="$uid:$gid" --groups="$groups" / true 2>/dev/null; then
    set -- "$t" --userspec="$uid:$gid" --groups="$groups" / "$shell" -c 'cd "$1" && shift && exec "$@"' sh \
      "$workdir" "$@"
  elif t=$(command -v start-stop-daemon) && [ -z "$asked$strict" ] &&
    start-stop-daemon -S -p "$d/none" -c "$uid:$gid" -a true 2>/dev/null; then
    set -- "$t" -S -p "$d/none" -c "$uid:$gid" -a "$shell" -- -c 'exec "$@"' sh "$@"
  elif t=$(command -v su) && [ -z "$asked$strict" ] && [ -n "$user" ] && [ "$gid" = "$(id -g "$user")" ] &&
    su -p -s "$shell" "$user" -c true </dev/null >/dev/null 2>&1; then
    set -- "$t" -p -s "$shell" "$user" -c 'exec "$@"' sh "$@"
  else
    refuse "the guest cannot run a process as user $uid, group $gid, groups ${groups:-none}: it needs setpriv of \
util-linux, or chroot of coreutils"
  fi
fi
if [ -n "$privileges" ]; then
  if can_setpriv --no-new-privs; then
    set -- "$t" --no-new-privs -- "$@"
  else
    refuse "a process without new privileges needs setpriv in the guest"
  fi
fi

if [ -n "$message" ] && [ -z "$inside" ]; then
  printf '%s\n' "$message" >message_path
  (
    umask 0
    mkdir -p "${message%/*}/" && true >"$message"
  ) 2>/dev/null || refuse "the termination message $message cannot be made in the guest"
fi
if [ ! -d "$workdir" ]; then (umask 022 && mkdir -p "$workdir"); fi
{ cd "$workdir"; } 2>/dev/null || refuse "the guest has no directory $workdir, and it cannot be made"
if [ -t 0 ]; then
  t=$(readlink /proc/self/fd/0)
  if [ -z "$inside" ]; then echo "$t" >"$d/terminal"; fi
  chown "$uid" "$t" 2>/dev/null
fi
if [ -z "$inside" ]; then
  at=$(date +%s)
  began $$
  echo "$$ $T $at $uid $gid $gid${groups:+,$groups}" >"$d/pid"
  echo "R $$ $at $uid $gid $gid${groups:+,$groups}" >&3
  exec 3>&-
fi
set +f
umask 022
