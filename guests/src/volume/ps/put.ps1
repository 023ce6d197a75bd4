# Puts the files of volume $volume with stamp $stamp, whose $count entries are on standard input: a line `F1 PATH` (a file that
# everybody may read; 0: only administrators) and one with its content, `D1 PATH` (a directory), or `L1 PATH` and one with where it
# leads. Where $count is `ask`, nothing comes, and `L` is said where the volume is not as the stamp has it.
function let_read($path) {
  $users = New-Object Security.Principal.SecurityIdentifier('S-1-5-32-545')
  $rule = New-Object Security.AccessControl.FileSystemAccessRule($users, 'ReadAndExecute', 'Allow')
  if ([IO.Directory]::Exists($path)) {
    $acl = [IO.Directory]::GetAccessControl($path)
    $acl.AddAccessRule($rule)
    [IO.Directory]::SetAccessControl($path, $acl)
  } else {
    $acl = [IO.File]::GetAccessControl($path)
    $acl.AddAccessRule($rule)
    [IO.File]::SetAccessControl($path, $acl)
  }
}
# Removes what is no part of the files of volume directory $v, which are in $new. What a program holds open stays until the next put.
function sweep($v, $new) {
  foreach ($entry in [IO.Directory]::GetFileSystemEntries($v)) {
    $name = [IO.Path]::GetFileName($entry)
    if ($name -ne '..data' -and $entry -ne $new -and -not (exists "$new\$name")) { try { delete $entry } catch { } }
  }
}
function put($volume, $stamp, $count) {
  $v = "$root\volumes\$volume"
  $new = "$v\..$stamp"
  $mark = "$root\volumes\.stamps\$volume"
  $now = ''
  if ([IO.File]::Exists($mark) -and (is_link "$v\..data")) { $now = [IO.File]::ReadAllText($mark) }
  if ($now -eq $stamp) {
    $left = $count
    while ($left -ne 'ask' -and [int]$left -gt 0) {
      $kind = text
      if ($kind[0] -ne 'D') { [void](bytes) }
      $left = [int]$left - 1
    }
    sweep $v $new
    return
  }
  if ($count -eq 'ask') {
    say 'L'
    say 'D'
    exit 0
  }
  make_private "$root\volumes\.stamps"
  if (-not [IO.Directory]::Exists($v)) {
    make_private $v
    let_read $v
  }
  # What a put that was broken off has left.
  delete $new
  delete "$v\..data.new"
  [void][IO.Directory]::CreateDirectory($new)
  let_read $new
  for ($i = 0; $i -lt [int]$count; $i++) {
    $line = text
    $path = "$new\" + $line.Substring(3)
    if ($line[0] -eq 'D') {
      [void][IO.Directory]::CreateDirectory($path)
    } elseif ($line[0] -eq 'L') {
      link $path (text) ''
    } else {
      [IO.File]::WriteAllBytes($path, (bytes))
    }
    if ($line[1] -eq '1' -and $line[0] -ne 'L') { let_read $path }
  }
  link "$v\..data.new" $new '/J'
  # From here to the last step no stamp is right: a put that is broken off meanwhile is done anew.
  delete $mark
  # There is no renaming over a directory: for a moment nothing is there.
  if (is_link "$v\..data") { [IO.Directory]::Delete("$v\..data") }
  [IO.Directory]::Move("$v\..data.new", "$v\..data")
  foreach ($entry in [IO.Directory]::GetFileSystemEntries($new)) {
    $name = [IO.Path]::GetFileName($entry)
    if (is_link "$v\$name") { continue }
    if ([IO.Directory]::Exists($entry)) { link "$v\$name" "$v\..data\$name" '/J' } else { link "$v\$name" "..data\$name" '' }
  }
  sweep $v $new
  [IO.File]::WriteAllText($mark, $stamp)
}
