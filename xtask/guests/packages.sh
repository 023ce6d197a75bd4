# Packages of the host's own distribution, unpacked and not installed: through the host's apt and its sources alone.

# fetch_packages FOLDER PACKAGE...: downloads the packages and all that they depend on.
fetch_packages() {
  local folder=$1; shift
  mkdir -p "$folder/partial"; : > "$folder/no-status"
  say "downloading $* and what they need"
  apt-get -qq -y --no-install-recommends --download-only -o Debug::NoLocking=1 -o APT::Sandbox::User=root \
    -o Dir::State::status="$folder/no-status" -o Dir::Cache::archives="$folder" install "$@" >/dev/null
}

# unpack_packages FOLDER ROOT PATTERN...: unpacks the downloaded packages with these names (all without a pattern).
unpack_packages() {
  local folder=$1 root=$2 deb pattern; shift 2
  [ $# -gt 0 ] || set -- '*'
  merged_usr "$root"
  for pattern; do
    for deb in "$folder"/${pattern}_*.deb; do
      [ -e "$deb" ] || continue
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink
    done
  done
}

# merged_usr ROOT: the links that a distribution with a merged /usr has.
merged_usr() {
  local name
  mkdir -p "$1"
  for name in bin sbin lib lib64; do
    mkdir -p "$1/usr/$name"
    [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
  done
}

# run_program ROOT PATH ARGUMENT...: runs a program of an unpacked root with that root's own libraries.
run_program() {
  local root=$1 path=$2; shift 2
  "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/$path" "$@"
}

# copy_program FROM TO PATH: copies a program and the libraries it is linked with from one root to another.
copy_program() {
  local from=$1 to=$2 path=$3 library
  mkdir -p "$to/${path%/*}"
  cp -L "$from/$path" "$to/$path"
  "$from/lib64/ld-linux-x86-64.so.2" --library-path "$from/usr/lib/x86_64-linux-gnu" --list "$from/$path" \
    | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do
      library=/${library#"$from"/}
      mkdir -p "$to/${library%/*}"
      [ -e "$to/$library" ] || cp -L "$from/$library" "$to/$library"
    done
}
