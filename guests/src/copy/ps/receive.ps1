# Takes a file: its path, its bytes and its SHA-256 in a line each, then what the part lacks that is there.
$size = [int64](line)
$sum = line
$part = $path + '.' + $sum.Substring(0, 16) + '.part'
$file = [IO.File]::Open($part, 'OpenOrCreate', 'ReadWrite', 'None')
try {
  if ($file.Length -gt $size) { $file.SetLength(0) }
  digest
  say "part $($file.Length)"
  try {
    while (($n = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
      [void]$hash.TransformBlock($buffer, 0, $n, $buffer, 0)
      $file.Write($buffer, 0, $n)
    }
  } catch {
    # Mostly the disk is full, and shall not stay so.
    $file.SetLength(0)
    throw
  }
  $have = $file.Length
} finally { $file.Close() }
if ($have -ne $size) { say "short $have" }
elseif ((sum) -ne $sum) {
  [IO.File]::Delete($part)
  say 'differs'
} else {
  # It replaces a file at once, also in PowerShell 2.0. What it works on stands in no command line.
  $env:INFRANETES_PART = $part
  $env:INFRANETES_PATH = $path
  cmd.exe /d /v:on /c 'move /y "!INFRANETES_PART!" "!INFRANETES_PATH!" >nul'
  if ($LASTEXITCODE -or [IO.File]::Exists($part)) { throw "cannot put $part in the place of $path" }
  say 'done'
}
