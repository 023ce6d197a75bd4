# Writes standard input into that of process $id; code 3 where it is gone, or has none.
$ErrorActionPreference = 'Stop'
$in = [Console]::OpenStandardInput()
$bytes = New-Object byte[] 32768
$d = ''
foreach ($boot in [IO.Directory]::GetDirectories("$env:SystemRoot\Infranetes\processes")) {
  if ([IO.File]::Exists("$boot\$id\in")) { $d = "$boot\$id" }
}
if (-not $d) { exit 3 }
while (($n = $in.Read($bytes, 0, 32768)) -gt 0) {
  if ([IO.File]::Exists("$d\exit") -or [IO.File]::Exists("$d\in.end")) { exit 3 }
  $file = New-Object IO.FileStream("$d\in", [IO.FileMode]::Append, [IO.FileAccess]::Write, [IO.FileShare]'ReadWrite,Delete')
  $file.Write($bytes, 0, $n)
  $size = $file.Length
  $file.Close()
  # No more than this waits for the program.
  while ($true) {
    $taken = [long]0
    if ([IO.File]::Exists("$d\in.at")) {
      # The supervisor writes it meanwhile, and it may be empty for a moment: nothing is taken then.
      $at = $null
      try {
        $at = New-Object IO.FileStream("$d\in.at", [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
        $taken = [long](New-Object IO.StreamReader($at)).ReadToEnd()
      } catch { } finally { if ($at) { $at.Close() } }
    }
    if ($size - $taken -lt 1048576) { break }
    if ([IO.File]::Exists("$d\exit")) { exit 3 }
    Start-Sleep -Milliseconds 200
  }
}
exit 0
