# Puts the files of volume $1 with stamp $2, which builds on stamp $3 where that is said. Standard input is a tar: the directory
# ..STAMP with what is new in it, and ..next with `gone`, the names in it that are no more (a NUL after each), and `links.tar`.
# Nothing comes where both stamps are the same.
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
  if [ ! -d "$v" ]; then mkdir "$v"; fi
  cd "$v" && chmod 755 . || refuse "$v cannot be made in the guest"
  rm -rf "$new" ..next ..data.new
  if [ -n "$3" ] && ! cp -al "$now" "$new"; then
    rm -rf "$new"
    lost
  fi
  umask 022
  tar xpf - || refuse "the guest's tar could not write the files: out of memory, or no tar"
  if [ -s ..next/gone ]; then (cd "$new" && xargs -0 rm -rf -- <../..next/gone); fi
  ln -s "$new" ..data.new
  # Where `mv` would move into the directory that the link leads to, a moment without the link is all that is to be had.
  mv -fT ..data.new ..data 2>/dev/null || { ln -sfn "$new" ..data && rm -f ..data.new; }
  if [ -f ..next/links.tar ]; then tar xkf ..next/links.tar; fi
  for n in * .[!.]*; do
    if [ -L "$n" ] && [ ! -e "$new/$n" ] && [ ! -L "$new/$n" ]; then rm -f "$n"; fi
  done
  rm -rf ..next
  if [ -n "$now" ]; then rm -rf "$now"; fi
}
lost() {
  cat >/dev/null
  echo L
  exit
}
put "$1" "$2" "$3"
