# Puts the files of volume $1 with stamp $2, which builds on stamp $3 where that is said, and has some of its files where $4 is
# `copy`. Standard input is a tar: the directory ..STAMP with what is new in it; ..next with `gone`, the names that are no more (a
# NUL after each), and `links.tar`, where there are any; the link ..data.new. Nothing comes where both stamps are the same. Each
# program costs milliseconds, so those of the usual change are few: readlink, cp, tar, mv, rm.
put() {
  if [ -z "$root" ]; then make_root; fi
  v=$root/$1 new=..$2
  now=$(readlink "$v/..data" 2>/dev/null)
  if [ "$now" = "$new" ]; then
    if [ "$2" != "$3" ]; then cat >/dev/null; fi
    return
  fi
  if [ -n "$3" ] && [ "$now" != "..$3" ]; then
    lost
  fi
  if [ ! -d "$v" ]; then mkdir -m 755 "$v"; fi
  cd "$v" || refuse "$v cannot be made in the guest"
  # What a put that was broken off has left.
  for n in "$new" ..next ..data.new; do
    if [ -e "$n" ] || [ -L "$n" ]; then rm -rf "$n"; fi
  done
  if [ "$4" = copy ] && ! cp -al "$now" "$new"; then
    rm -rf "$new"
    lost
  fi
  umask 022
  tar xpf - || refuse "the guest's tar could not write the files: out of memory, or no tar"
  if [ -s ..next/gone ]; then (cd "$new" && xargs -0 rm -rf -- <../..next/gone); fi
  # Where `mv` would move into the directory that the link leads to, a moment without the link is all that is to be had.
  mv -fT ..data.new ..data 2>/dev/null || { ln -sfn "$new" ..data && rm -f ..data.new; }
  if [ -f ..next/links.tar ]; then tar xkf ..next/links.tar; fi
  for n in * .[!.]*; do
    if [ -L "$n" ] && [ ! -e "$new/$n" ] && [ ! -L "$new/$n" ]; then rm -f "$n"; fi
  done
  if [ -n "$now" ] || [ -e ..next ]; then rm -rf ..next ${now:+"$now"}; fi
}
lost() {
  cat >/dev/null
  echo L
  exit
}
put "$1" "$2" "$3" "$4"
