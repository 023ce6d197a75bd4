# Follows log file $args[0] through rotation, from inode, offset, and length and checksum of the first bytes in the arguments after
# it (no inode: from the beginning). It prints what sh/file.sh does. Windows tells no inode before Server 2012, so the time of the
# file's creation stands for it, and its first bytes tell it from one that was made in its place.
$path = $args[0]
$log = @{ file = $null; inode = ''; width = 0; crc = '' }
$sha = New-Object Security.Cryptography.SHA1CryptoServiceProvider
function open_file($name) {
  try {
    New-Object IO.FileStream($name, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete', 1)
  } catch { $null }
}
# A checksum of the first bytes of an open file.
function checksum($file, $length) {
  $at = $file.Position
  [void]$file.Seek(0, [IO.SeekOrigin]::Begin)
  $bytes = New-Object byte[] $length
  $n = $file.Read($bytes, 0, $length)
  [void]$file.Seek($at, [IO.SeekOrigin]::Begin)
  if ($n -lt $length) { return '' }
  [BitConverter]::ToString($sha.ComputeHash($bytes)).Replace('-', '')
}
function inode_of($name) { [string][IO.File]::GetCreationTimeUtc($name).ToFileTimeUtc() }
# Whether file $name, which is open, can be the one that is known, with all that was read of it.
function is_known($name, $file, $offset) {
  if ($file.Length -lt $offset) { return $false }
  if ($log.width -gt 0) { return (checksum $file $log.width) -eq $log.crc }
  (inode_of $name) -eq $log.inode
}
function take($name, $file, $offset, $how) {
  if ($log.file) { $log.file.Close() }
  [void]$file.Seek($offset, [IO.SeekOrigin]::Begin)
  $log.file = $file
  $log.inode = inode_of $name
  line "F $($log.inode) $offset $how"
  if ($how -eq 'n') { $log.width = 0 }
  if ($log.width -gt 0) { line "K $($log.width) $($log.crc)" }
}
# Learns more of the first bytes, as long as there are few.
function learn {
  if ($log.width -ge 256 -or $log.file.Length -le $log.width) { return }
  $width = [int][Math]::Min(256, $log.file.Length)
  $crc = checksum $log.file $width
  if (-not $crc) { return }
  $log.width = $width
  $log.crc = $crc
  line "K $width $crc"
}
# Opens the path itself, once it is there.
function advance {
  $told = $false
  while (-not $shared.over) {
    $file = open_file $path
    if ($file) { return take $path $file 0 'n' }
    if (-not $told) {
      line 'A'
      $out.Flush()
    }
    $told = $true
    Start-Sleep -Milliseconds 500
  }
}
# Goes on with the known file: at its path, or beside it under the name that a rotation gave it.
function resume($offset) {
  $folder = [IO.Path]::GetDirectoryName($path)
  $names = @($path)
  if ([IO.Directory]::Exists($folder)) {
    $names += @([IO.Directory]::GetFiles($folder, [IO.Path]::GetFileNameWithoutExtension($path) + '*'))
  }
  foreach ($name in $names) {
    $file = open_file $name
    if (-not $file) { continue }
    if (is_known $name $file $offset) {
      take $name $file $offset 'c'
      return $true
    }
    $file.Close()
  }
  $false
}
if (-not [IO.Path]::IsPathRooted($path)) { unsupported "the log file $path is no absolute path" }
if ($args[1]) {
  $log.inode = $args[1]
  $log.width = [int]$args[3]
  $log.crc = $args[4]
  if (-not (resume ([long]$args[2]))) {
    line 'L'
    $log.width = 0
    advance
  }
} else { advance }
$late = 0
while (-not $shared.over) {
  $at = $log.file.Position
  $size = $log.file.Length
  if ($size -lt $at -or ($size -gt $at -and $log.width -gt 0 -and (checksum $log.file $log.width) -ne $log.crc)) {
    # Truncated. A copy may hold what was not read yet.
    if (-not (resume $at)) { advance }
    continue
  }
  if ($size -gt $at) {
    learn
    $bytes = New-Object byte[] ([int][Math]::Min(262144, $size - $at))
    $n = $log.file.Read($bytes, 0, $bytes.Length)
    line "D $at $n"
    $out.Write($bytes, 0, $n)
    line "E $n"
    $out.Flush()
    $late = 0
    if ($n -eq 262144) { continue }
  } else {
    $now = open_file $path
    if ($now) {
      $same = (is_known $path $now $at) -and (inode_of $path) -eq $log.inode
      # Rotated: a writer may still hold the old one for a moment. One that nobody has written to yet is not the next.
      if (-not $same -and $now.Length -gt 0) { $late++ } else { $late = 0 }
      if ($late -gt 2) {
        take $path $now 0 'n'
        continue
      }
      $now.Close()
    }
  }
  $out.Flush()
  # Windows tells of a file that grows only when it is closed.
  Start-Sleep -Milliseconds 500
}
exit 0
