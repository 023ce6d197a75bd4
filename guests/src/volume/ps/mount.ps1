# Lays volume $volume, or its part $part, over $path as mount $mount: a directory by a link, a file by a copy, which everybody may
# read where $open is something; no path is that of the file of hosts. What is there is moved aside, and that is written down before it is done.
function lay_over($mount, $volume, $part, $path, $open) {
  if (-not $path) { $path = "$env:SystemRoot\System32\drivers\etc\hosts" }
  $marker = "$root\volumes\.mounts\$mount"
  $from = "$root\volumes\$volume"
  if ($part) { $from = "$from\$part" }
  make_private "$root\volumes\.mounts"
  $made = 'made'
  if (exists $path) { $made = 'aside' }
  foreach ($other in [IO.Directory]::GetFiles("$root\volumes\.mounts")) {
    $known = [IO.File]::ReadAllLines($other)
    if ($path.StartsWith("$($known[0])\", 'OrdinalIgnoreCase') -and (exists "$root\volumes\$($known[2])\..data")) {
      refuse "$path is among the files of the volume at $($known[0]), and would go with their next change"
    }
    if ($known[0] -ne $path) { continue }
    if ($known[2] -ne "$volume\$part") {
      refuse "another container of the pod has something else mounted at $path, and they share the guest's files"
    }
    $made = $known[1]
  }
  if (-not (exists $from)) { refuse "the volume has no $part" }
  [IO.File]::WriteAllLines($marker, [string[]]($path, $made, "$volume\$part"))
  $aside = "$path.infranetes"
  if ($made -eq 'aside' -and -not (exists $aside)) {
    try { [IO.Directory]::Move($path, $aside) } catch { refuse "what the guest has at $path cannot be moved aside: $_" }
  }
  [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
  if ([IO.Directory]::Exists($from)) {
    if (-not (is_link $path)) { link $path $from '/J' }
    return
  }
  delete $path
  if ($open) {
    $file = New-Object IO.FileStream($path, [IO.FileMode]::CreateNew)
  } else {
    $acl = New-Object Security.AccessControl.FileSecurity
    $acl.SetSecurityDescriptorSddlForm('D:P(A;;FA;;;SY)(A;;FA;;;BA)', [Security.AccessControl.AccessControlSections]::Access)
    $write = [Security.AccessControl.FileSystemRights]::Write
    $file = New-Object IO.FileStream($path, [IO.FileMode]::CreateNew, $write, [IO.FileShare]::None, 4096, [IO.FileOptions]::None, $acl)
  }
  $content = [IO.File]::ReadAllBytes($from)
  $file.Write($content, 0, $content.Length)
  $file.Close()
}
