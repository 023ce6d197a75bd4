# What a script begins with that only root may run: `root_only`, with the words before what it takes, ends it for others.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
refuse() {
  echo "U $*"
  exit
}
root_only() {
  while read -r k x y z; do if [ "$k" = Uid: ]; then break; fi; done </proc/self/status
  if [ "$y" != 0 ]; then refuse "$1 a session with root's rights, or sudo without a password"; fi
}
