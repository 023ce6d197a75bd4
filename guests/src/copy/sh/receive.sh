# Takes a file: $1 its path, $2 its bytes, $3 its SHA-256, $4 its mode. On standard input what the part lacks that is there.
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
path=$1 size=$2 sum=$3
part=$path.${sum%"${sum#????????????????}"}.part
fail() {
  echo "$1" >&2
  exit 1
}
command -v sha256sum >/dev/null 2>&1 || fail "it has no sha256sum"
[ ! -d "$path" ] || fail "$path is a directory"
umask 077
have=0
[ ! -f "$part" ] || have=$(wc -c <"$part") || exit 1
if [ $((have)) -eq 0 ] || [ "$have" -gt "$size" ]; then
  have=0
  : >"$part" || exit 1
fi
echo "part $((have))"
if ! cat >>"$part"; then
  # Mostly the disk is full, and shall not stay so.
  rm -f "$part"
  exit 1
fi
have=$(wc -c <"$part") || exit 1
if [ "$have" -ne "$size" ]; then
  echo "short $((have))"
  exit 0
fi
is=$(sha256sum <"$part") || exit 1
if [ "${is%% *}" != "$sum" ]; then
  rm -f "$part"
  echo differs
  exit 0
fi
chmod "$4" "$part" && mv -f "$part" "$path" && echo done
