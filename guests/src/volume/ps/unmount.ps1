# Takes mount $mount away: what the image has there is seen again.
function take_away($mount) {
  $marker = "$root\volumes\.mounts\$mount"
  if (-not [IO.File]::Exists($marker)) { return }
  $known = [IO.File]::ReadAllLines($marker)
  $path = $known[0]
  $aside = "$path.infranetes"
  $others = 0
  foreach ($other in [IO.Directory]::GetFiles("$root\volumes\.mounts")) {
    if ($other -ne $marker -and [IO.File]::ReadAllLines($other)[0] -eq $path) { $others++ }
  }
  # Who else has it mounted keeps it. What was never moved aside is the image's own.
  if ($others -eq 0 -and ($known[1] -eq 'made' -or (exists $aside))) {
    try {
      if ((is_link $path) -or [IO.File]::Exists($path)) { delete $path }
      if (exists $aside) { [IO.Directory]::Move($aside, $path) }
    } catch {
      refuse "what is mounted at $path cannot be taken away in the guest: $_"
    }
  }
  [IO.File]::Delete($marker)
}
