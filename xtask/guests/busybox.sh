# What the busybox guests share: init, DHCP, power button, web server, application log.

# busybox_system FROM ROOT HOSTNAME SERVER_COMMAND...: a root whose init is busybox and which starts one SSH server.
busybox_system() {
  local from=$1 root=$2 hostname=$3 name; shift 3
  mkdir -p "$root"/{etc,proc,sys,dev,tmp,run,mnt,root,boot,var/log,var/run,var/www,usr/bin,usr/sbin}
  merged_usr "$root"
  chmod 700 "$root/root"; chmod 1777 "$root/tmp"
  cp "$from/bin/busybox" "$root/bin/busybox"
  for name in $("$root/bin/busybox" --list); do
    [ "$name" = busybox ] || [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
  done
  ln -sf ../bin/busybox "$root/sbin/init"
  printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534:sshd:/run/sshd:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$root/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' > "$root/etc/group"
  printf 'root:%s:19000:0:99999:7:::\nsshd:*:19000::::::\nnobody:*:19000::::::\n' "$WELL_KNOWN_PASSWORD" > "$root/etc/shadow"
  chmod 600 "$root/etc/shadow"
  printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
  echo /bin/sh > "$root/etc/shells"
  echo "$hostname" > "$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" > "$root/etc/hosts"
  cat > "$root/etc/inittab" <<'X'
::sysinit:/etc/rcS
ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100
::ctrlaltdel:/bin/reboot
::shutdown:/bin/umount -a -r
X
  cat > "$root/etc/rcS" <<X
#!/bin/sh
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /run/sshd
[ ! -x /etc/syslog ] || /etc/syslog
hostname -F /etc/hostname
ifconfig lo 127.0.0.1 up; ifconfig eth0 up
$* &
udhcpc -i eth0 -b -t 8 -T 1 -A 1 -S -O staticroutes -O mtu -O hostname -O search -s /etc/udhcpc.sh >/dev/console 2>&1 &
acpid -c /etc/acpi
httpd -p 80 -h /var/www
/etc/application >/dev/console 2>&1 &
echo "$hostname: boot is done" >/dev/console
X
  cat > "$root/etc/udhcpc.sh" <<'X'
#!/bin/sh
case $1 in
  deconfig) ifconfig "$interface" 0.0.0.0 up ;;
  bound|renew)
    ifconfig "$interface" "$ip" netmask "$subnet" ${mtu:+mtu $mtu}
    while route del default gw 0.0.0.0 dev "$interface" 2>/dev/null; do :; done
    if [ -n "$staticroutes" ]; then
      # Class-less routes replace the router (RFC 3442); those on the link come first, or a gateway cannot be reached.
      set -- $staticroutes
      while [ -n "$1" ]; do [ "$2" = 0.0.0.0 ] && ip route replace "$1" dev "$interface"; shift 2; done
      set -- $staticroutes
      while [ -n "$1" ]; do [ "$2" = 0.0.0.0 ] || ip route replace "$1" via "$2" dev "$interface"; shift 2; done
    elif [ -n "$router" ]; then
      # A gateway outside of the subnet (a /32 address) is reached over the link.
      ip route replace default via "${router%% *}" dev "$interface" 2>/dev/null ||
        { ip route replace "${router%% *}" dev "$interface"; ip route replace default via "${router%% *}" dev "$interface"; }
    fi
    : > /etc/resolv.conf
    [ -z "$search$domain" ] || echo "search ${search:-$domain}" >> /etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >> /etc/resolv.conf; done
    [ -z "$hostname" ] || { hostname "$hostname"; printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" > /etc/hosts; }
    ;;
esac
X
  mkdir -p "$root/etc/acpi/PWRF"
  printf '#!/bin/sh\npoweroff\n' > "$root/etc/acpi/PWRF/00000080"
  echo "hello from $hostname" > "$root/var/www/index.html"
  chmod +x "$root"/etc/{rcS,udhcpc.sh} "$root/etc/acpi/PWRF/00000080"
}

# log_to_file ROOT FILE: the application writes a numbered line a second to a file; a moved file is made anew.
log_to_file() {
  cat > "$1/etc/application" <<X
#!/bin/sh
# The application of this machine: a numbered line a second. It goes on counting after a reboot.
n=0
[ ! -s $2 ] || n=\$(tail -n 1 $2 | sed 's/.*line //')
while :; do
  n=\$((n + 1))
  echo "\$(date -u +%Y-%m-%dT%H:%M:%SZ) app: line \$n" >> $2
  sleep 1
done
X
  chmod +x "$1/etc/application"
}

# log_to_syslog ROOT: the same through syslogd.
log_to_syslog() {
  printf '#!/bin/sh\nsyslogd -O /var/log/messages; klogd -c 1\n' > "$1/etc/syslog"
  cat > "$1/etc/application" <<'X'
#!/bin/sh
# The application of this machine: a numbered line a second.
n=0
while :; do
  n=$((n + 1))
  logger -t app "line $n"
  sleep 1
done
X
  chmod +x "$1/etc/syslog" "$1/etc/application"
}
