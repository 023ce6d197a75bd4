# Follows a log file through rotation. $1 path, $2 inode (empty: from the beginning), $3 offset, $4 $5 length and
# checksum of the first bytes (length 0: unknown).
#
# What it prints, each control line followed by what is said:
#   A                  the file is absent or unreadable and waited for
#   L                  the place is lost; what follows begins at the oldest that there is
#   F inode offset c|n what follows is of this file; c: it goes on with the line before, n: it is another file
#   K length checksum  the first bytes of this file
#   D offset n         n bytes follow, then a line "E m": only the first m of them are of the file
path=$1 inode=$2 offset=$3 length=$4 crc=$5
LC_ALL=C
export LC_ALL
nl='
'
set -f
exec 5<&0 </dev/null

# Ends when nobody listens any more, even if there is nothing to write.
main=$$
(
  cat <&5 >/dev/null
  kill "$main"
) >/dev/null 2>&1 &
watch=$!
exec 5<&-
trap 'kill "$watch" 2>/dev/null' EXIT

say() { printf '%s\n' "$*" || exit 0; }
nap() { sleep 1 >/dev/null 2>&1; }

# Inode and size of the open file; its place.
look() {
  set -- $(ls -lniL /proc/self/fd/3 2>/dev/null)
  I=$1 S=${6:-0}
}
where() {
  while read -r key value; do
    if [ "$key" = pos: ]; then
      P=$value
      return
    fi
  done </proc/self/fdinfo/3
}

# Opens file $1 at offset $2; $3 as in F. The caller has seen that it can be read.
open_at() {
  exec 3<"$1"
  if [ "$2" -gt 0 ]; then dd bs=1 skip="$2" count=0 <&3 >/dev/null 2>&1; fi
  look
  where
  say F "$I" "$P" "$3"
  if [ "$3" = n ] && [ "$2" = 0 ]; then length=0 crc=; fi
  if [ "$length" -gt 0 ]; then say K "$length" "$crc"; fi
  late=0
}

# A checksum of the first $2 bytes of file $1, by what the guest has; without anything there is none.
sum=
for tool in cksum md5sum sha1sum sum; do
  if command -v "$tool" >/dev/null 2>&1; then
    sum=$tool
    break
  fi
done
checksum() {
  set -- $(dd if="$1" bs="$2" count=1 2>/dev/null | "$sum")
  C=$1
}

# The first bytes of file $1 are those that we know.
known() {
  [ "$length" -gt 0 ] || return 1
  checksum "$1" "$length"
  [ "$C" = "$crc" ]
}

# Learns more of the first bytes, as long as there are few.
learn() {
  [ -n "$sum" ] && [ "$length" -lt 256 ] && [ "$S" -gt "$length" ] || return 0
  width=$S
  if [ "$width" -gt 256 ]; then width=256; fi
  checksum /proc/self/fd/3 "$width"
  look
  [ "$S" -ge "$width" ] || return 0
  crc=$C length=$width
  say K "$length" "$crc"
}

# File $1 has at least $2 bytes.
holds() {
  [ -f "$1" ] && [ -r "$1" ] || return 1
  needed=$2
  set -- $(ls -lniL "$1" 2>/dev/null)
  found_inode=$1
  [ "${6:-0}" -ge "$needed" ]
}

# The rotated files that are not compressed, oldest first: NAME.3 NAME.2 NAME.1, or NAME-20260101 NAME-20260102.
list_rotated() {
  rotated=
  n=1
  if [ -f "$path.0" ]; then n=0; fi
  while [ "$n" -lt 100 ] && [ -f "$path.$n" ]; do
    rotated=$path.$n$nl$rotated
    n=$((n + 1))
  done
  set +f
  for f in "$path"-[0-9]*; do
    case $f in
      *.gz | *.bz2 | *.xz | *.zst | *.lz4 | *.Z) ;;
      *) if [ -f "$f" ]; then rotated=$rotated$f$nl; fi ;;
    esac
  done
  set -f
}

# Finds by test $1 one of the rotated files: `found`, and the younger ones: `queue`.
search() {
  found= queue=
  saved=$IFS
  IFS=$nl
  for f in $rotated; do
    IFS=$saved
    if [ -n "$found" ]; then
      queue=$queue$f$nl
    elif "$1" "$f"; then
      found=$f
    fi
  done
  IFS=$saved
}
is_cursor() { holds "$1" "$offset" && [ "$found_inode" = "$inode" ] && { [ "$length" = 0 ] || known "$1"; }; }
is_copy() { [ "$length" -ge 32 ] && holds "$1" "$offset" && known "$1"; }
is_open() { [ "$1" -ef /proc/self/fd/3 ]; }

# Opens what comes after the open file: the next of the queue, else the path itself, else waits.
advance() {
  while [ -n "$queue" ]; do
    f=${queue%%"$nl"*}
    queue=${queue#*"$nl"}
    if [ -f "$f" ] && [ -r "$f" ]; then
      open_at "$f" 0 n
      return
    fi
  done
  told=
  until [ -f "$path" ] && [ -r "$path" ]; do
    if [ -z "$told" ]; then say A; fi
    told=1
    nap
  done
  open_at "$path" 0 n
}

# Where to begin.
queue=
if [ -z "$inode" ]; then
  length=0 crc=
  advance
elif is_cursor "$path"; then
  open_at "$path" "$offset" c
else
  list_rotated
  search is_cursor
  if [ -z "$found" ]; then
    directory=${path%/*}/
    name=$(ls -1i "$directory" 2>/dev/null | while read -r i n; do
      if [ "$i" = "$inode" ]; then
        printf '%s' "$n"
        break
      fi
    done)
    if [ -n "$name" ] && is_cursor "$directory$name"; then
      found=$directory$name
    fi
  fi
  if [ -z "$found" ]; then search is_copy; fi
  if [ -n "$found" ]; then
    open_at "$found" "$offset" c
  else
    say L
    queue=$rotated
    length=0 crc=
    advance
  fi
fi

while :; do
  look
  where
  if [ "$S" -lt "$P" ] || { [ "$S" -gt "$P" ] && [ "$length" -gt 0 ] && ! known /proc/self/fd/3; }; then
    # Truncated. A copy may hold what was not read yet.
    offset=$P
    list_rotated
    search is_copy
    if [ -n "$found" ]; then open_at "$found" "$offset" c; else advance; fi
    continue
  fi
  if [ "$S" -gt "$P" ]; then
    learn
    sent=$P
    n=$((S - P))
    if [ "$n" -gt 262144 ]; then n=262144; fi
    say D "$P" "$n"
    dd bs="$n" count=1 <&3 2>/dev/null
    where
    m=$((P - sent))
    if [ "$m" -lt "$n" ]; then dd if=/dev/zero bs=$((n - m)) count=1 2>/dev/null; fi
    say E "$m"
    late=0
    if [ "$m" -lt 262144 ] && [ -z "$queue" ]; then nap; fi
    continue
  fi
  if [ -n "$queue" ]; then
    advance
  elif [ "$path" -ef /proc/self/fd/3 ] || [ ! -s "$path" ]; then
    # The one to follow; or rotated, and nobody writes to the new one yet.
    nap
  elif [ "$late" -lt 1 ]; then
    # Rotated: a writer may still hold the old one for a moment.
    late=$((late + 1))
    nap
  else
    list_rotated
    search is_open
    advance
  fi
done
