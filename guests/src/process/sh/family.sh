# Tells the family, else what is missing.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export PATH
if [ ! -e /proc/self/fdinfo ]; then
  echo "it has no /proc of Linux"
  exit
fi
for t in setsid mkfifo dd grep sed tail tr ls date; do
  if ! command -v "$t" >/dev/null 2>&1; then
    echo "it has no program $t"
    exit
  fi
done
echo posix
