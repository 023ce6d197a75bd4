# Finds where it is noted that the guest is lent, and to whom: `holder`, a file, and `d`, a directory. It goes with a reboot.
root_only "a machine can only be lent by"
umask 077
r=
for r in /run /dev/shm /tmp; do if [ -d "$r" ] && [ -w "$r" ]; then break; fi; done
d=$r/infranetes-lent holder=$r/infranetes-lent.holder h=
{ IFS= read -r h <"$holder"; } 2>/dev/null
