# A system of the host's own distribution and release, installed into a folder by mmdebstrap.

# The sources that the host's apt uses for its own release (no backports, no third party), as one-line entries.
distribution_sources() {
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u \
    | awk -v c="$codename" '$2 == c || $2 == c "-updates" || $2 == c "-security" { print "deb", $1, $2, $3 }'
}

# install_system ROOT PACKAGES [MMDEBSTRAP_OPTION...]: packages are separated by commas.
install_system() {
  local root=$1 packages=$2 keys=$PWD/keys key; shift 2
  mkdir -p "$keys"
  for key in /etc/apt/trusted.gpg.d/*.{gpg,asc} /usr/share/keyrings/*-archive-keyring.{gpg,pgp,asc}; do
    [ ! -e "$key" ] || cp -Ln "$key" "$keys/"
  done
  distribution_sources > sources.list
  [ -s sources.list ] || fail "apt names no source for this release: check /etc/apt/sources.list.d, then run apt-get update"
  say "installing $packages"
  mmdebstrap --quiet --variant=minbase --keyring="$keys" --include="$packages" \
    --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt=path-exclude=/usr/share/man/\* --dpkgopt=path-exclude=/usr/share/locale/\* \
    --dpkgopt=path-exclude=/usr/share/doc/\* --dpkgopt=path-include=/usr/share/doc/\*/copyright \
    --dpkgopt=force-unsafe-io "$@" '' "$root" - < sources.list 2>&1 | grep -v '^I:' || true
  [ -x "$root/usr/bin/dpkg" ] || fail "the system could not be installed: see the lines above"
  rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id
  : > "$root/etc/machine-id"
}

# name_system ROOT HOSTNAME
name_system() {
  echo "$2" > "$1/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$2" > "$1/etc/hosts"
}

# well_known_password ROOT: root's password becomes the well-known one.
well_known_password() { chroot "$1" usermod -p "$WELL_KNOWN_PASSWORD" root; }

# add_kernel FROM ROOT MODULE...: the kernel, and of its modules those named (with what they need) and an initramfs.
add_kernel() {
  local from=$1 root=$2 version name file; shift 2
  version=$(kernel_version "$from")
  cp "$from/boot/vmlinuz-$version" "$root/boot/"
  say "making the initramfs"
  small_initramfs "$from" "$version" "$root/boot/initrd.img" "$@"
}
