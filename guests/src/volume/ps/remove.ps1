# Removes volume $volume.
function remove_volume($volume) {
  delete "$root\volumes\$volume"
  delete "$root\volumes\.stamps\$volume"
}
