# Removes volume $1.
if [ -n "$root" ]; then rm -rf "${root:?}/$1"; fi
echo D
