# Finds where it is noted that the guest is lent, and to whom: `holder`, a file, and `d`, a directory. It goes with a reboot.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
refuse() {
  echo "U $*"
  exit
}
while read -r k x y z; do if [ "$k" = Uid: ]; then break; fi; done </proc/self/status
if [ "$y" != 0 ]; then refuse "a machine can only be lent by a session with root's rights, or sudo without a password"; fi
umask 077
r=
for r in /run /dev/shm /tmp; do if [ -d "$r" ] && [ -w "$r" ]; then break; fi; done
d=$r/infranetes-lent holder=$r/infranetes-lent.holder h=
{ IFS= read -r h <"$holder"; } 2>/dev/null
