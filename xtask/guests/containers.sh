# containers: the container images that critest pulls, for a runtime that runs containers: busybox, the users and programs that
# critest's specs ask for, a web server, and a process that only waits. They have this one root; what each starts stands in
# its configuration.
# parts: say packages upstream

fetch_packages "$PWD/debs" busybox-static catatonit
say "unpacking"
unpack_packages "$PWD/debs" "$PWD/from" busybox-static catatonit

mkdir -p root/{etc,proc,sys,dev,tmp,run,root,var/run,var/www}
merged_usr root
chmod 700 root/root; chmod 1777 root/tmp
cp from/bin/busybox from/usr/bin/catatonit root/bin/
for name in $(root/bin/busybox --list); do
  [ "$name" = busybox ] || ln -s busybox "root/bin/$name"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > root/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > root/etc/group
upstream_users root
upstream_programs root
echo "hello from a container" > root/var/www/index.html
cat > root/bin/serve <<'S'
#!/bin/sh
# A web server that ends when it is told to: as process 1, httpd would not.
httpd -f -p "${PORT:-80}" -h /var/www &
trap 'kill $!; exit' TERM INT
echo "httpd: serves /var/www on port ${PORT:-80}"
wait
S
chmod +x root/bin/serve

say "packing"
: > "$OUT/$NAME.facts"
(cd root && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf "$OUT/$NAME.tar" -- *)
