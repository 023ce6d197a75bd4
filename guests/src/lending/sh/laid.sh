# Whether the names are laid over the guest's own, and where: `p`. Its kernel knows, whatever was cut off before.
laid() {
  while read -r k x y z p t; do
    case $z in */infranetes-lent/resolv.conf*) return 0 ;; esac
  done </proc/self/mountinfo
  return 1
}
