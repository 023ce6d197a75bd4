# Tells the family (systemd with its version), else what is missing.
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
if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1; then
  version=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  echo "systemd ${version:-0}"
else
  echo posix
fi
