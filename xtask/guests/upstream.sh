# What the container images that critest pulls have in common, whoever stands in for them: users, groups, programs.

# upstream_users ROOT: the users and groups that the images' configurations and critest's specs name.
upstream_users() {
  cat >> "$1/etc/passwd" <<'P'
www-data:x:33:33:www-data:/var/www:/bin/sh
default-user:x:1000:1000:default-user:/tmp:/bin/sh
P
  cat >> "$1/etc/group" <<'G'
www-data:x:33:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
G
}

# upstream_programs ROOT: programs that the distribution's busybox leaves out.
upstream_programs() {
  printf '#!/bin/sh\npidof "$@" | tr " " "\\n"\n' > "$1/bin/pgrep"
  printf '#!/bin/sh\ncat /proc/sysvipc/shm\n' > "$1/bin/ipcs"
  chmod +x "$1/bin/pgrep" "$1/bin/ipcs"
}
