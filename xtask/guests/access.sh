# How people get in: fixed host keys, a key for root, the well-known password.

# The hash of the well-known password "infranetes" (SHA-512 crypt).
WELL_KNOWN_PASSWORD='$6$infranetes$aE3mtN7qD34Q5EWGWY5dHASOrRQ017.xHc11JUWaW32/navgDiVlfOCEcPoJAntmdWO0amW5KST9vhQDXmKbw/'

# host_keys ROOT TYPE...: makes OpenSSH host keys in a root; their public halves go beside the image.
host_keys() {
  local root=$1 type; shift
  mkdir -p "$root/etc/ssh"
  rm -f "$root"/etc/ssh/ssh_host_*
  for type; do
    ssh-keygen -q -t "$type" -N '' -C "$NAME" -f "$root/etc/ssh/ssh_host_${type}_key"
    cat "$root/etc/ssh/ssh_host_${type}_key.pub" >> "$OUT/$NAME.hostkey.pub"
  done
}

# root_key ROOT: a key that logs in as root; its private half goes beside the image.
root_key() {
  ssh-keygen -q -t ed25519 -N '' -C "$NAME" -f "$OUT/$NAME.key"
  mkdir -p -m 700 "$1/root/.ssh"
  cp "$OUT/$NAME.key.pub" "$1/root/.ssh/authorized_keys"
  chmod 600 "$1/root/.ssh/authorized_keys"
}

# fact NAME VALUE: a label of the image; one that is told again has a value of several lines.
fact() { printf '%s=%s\n' "$1" "$2" >> "$OUT/$NAME.facts"; }

# host_key_facts: the public host keys beside the image as its facts.
host_key_facts() {
  local type key rest
  while read -r type key rest; do fact host-keys "$type $key"; done < "$OUT/$NAME.hostkey.pub"
}
