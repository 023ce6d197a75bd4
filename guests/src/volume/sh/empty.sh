# Makes the empty directory $1, with mode $2 and owner $3: on the guest's disk, or where $4 is `memory` in memory of at most $5
# bytes (nothing: as much as there is).
if [ -z "$root" ]; then make_root; fi
v=$root/$1
if [ ! -d "$v" ]; then
  if [ "$4" = memory ]; then
    mkdir "$v" && mount -t tmpfs -o "mode=$2${5:+,size=$5}" infranetes "$v" || {
      rmdir "$v" 2>/dev/null
      refuse "a tmpfs for volume $1 cannot be mounted in the guest"
    }
  else
    for r in /var/lib /var ''; do
      disk=$r/infranetes-volumes
      if [ -d "$disk" ] || mkdir -m 700 "$disk" 2>/dev/null; then break; fi
    done
    # What lies there is of an earlier boot of this machine, and goes on.
    if [ ! -d "$disk/$1" ] && ! mkdir "$disk/$1"; then refuse "the guest's disk has no place for volume $1"; fi
    ln -s "$disk/$1" "$v"
  fi
  chmod "$2" "$v/." && chown "$3" "$v/." || refuse "mode $2 and owner $3 of volume $1 cannot be set in the guest"
fi
