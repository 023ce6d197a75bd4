# Writes its standard input to that of the process.
cd "${d:-/}" || exit 1
if [ ! -p in ] || [ -e exit ]; then exit 3; fi
exec cat >in
