# Takes every mount away, the inner ones first, and removes every volume.
function clear_all {
  if (-not [IO.Directory]::Exists("$root\volumes")) { return }
  if ([IO.Directory]::Exists("$root\volumes\.mounts")) {
    $mounts = @([IO.Directory]::GetFiles("$root\volumes\.mounts"))
    $outer_last = @($mounts | Sort-Object { [IO.File]::ReadAllLines($_)[0].Length } -Descending)
    foreach ($marker in $outer_last) { take_away ([IO.Path]::GetFileName($marker)) }
  }
  delete "$root\volumes"
}
