# Follows the output of process $args[0] from places $args[1] and $args[2] (-: the present end), as sh/follow.sh does: `S O E`, then
# `o OFFSET N` or `e OFFSET N` and N bytes of that stream, then `X CODE OOM TIME N` and N bytes of the message; or `A`. Standard
# input: `R O E`, the places before which all is written down.
$d = "$all\" + $args[0]
if (-not [IO.Directory]::Exists($d)) {
  say 'A'
  exit 0
}
$out = [Console]::OpenStandardOutput()
function line($text) {
  $bytes = [Text.Encoding]::ASCII.GetBytes("$text`n")
  $out.Write($bytes, 0, $bytes.Length)
}
# Where the segments of a stream begin, in order.
function segments($letter) {
  @(foreach ($path in [IO.Directory]::GetFiles($d, "$letter.1*")) { [long][IO.Path]::GetFileName($path).Substring(2) - $base }) | Sort-Object
}
function size_of($letter, $begins) { (New-Object IO.FileInfo("$d\$letter." + ($base + $begins))).Length }
function end_of($letter) {
  $last = @(segments $letter)[-1]
  if ($last -eq $null) { return [long]0 }
  $last + (size_of $letter $last)
}
# Sends what stream $letter has at place $at; says where it goes on.
function send($letter, $at) {
  foreach ($begins in @(segments $letter)) {
    try {
      $size = size_of $letter $begins
      if ($begins -le $at -and $begins + $size -le $at) { continue }
      $from = [Math]::Max($at, $begins)
      $path = "$d\$letter." + ($base + $begins)
      $file = New-Object IO.FileStream($path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
    } catch {
      # Released by another follower.
      if (exists "$d\$letter.$($base + $begins)") { throw }
      continue
    }
    [void]$file.Seek($from - $begins, [IO.SeekOrigin]::Begin)
    $bytes = New-Object byte[] 131072
    $n = $file.Read($bytes, 0, 131072)
    $file.Close()
    if ($n -eq 0) { return $at }
    line "$letter $from $n"
    $out.Write($bytes, 0, $n)
    $out.Flush()
    return $from + $n
  }
  $at
}
# What is written down is dropped beside this, a segment once the next one begins before the place.
$release = {
  param($in, $d, $base, $shared)
  for ($line = $in.ReadLine(); $line -ne $null; $line = $in.ReadLine()) {
    $words = $line.Split(' ')
    foreach ($stream in @(@('o', $words[1]), @('e', $words[2]))) {
      $last = $null
      foreach ($path in @([IO.Directory]::GetFiles($d, "$($stream[0]).1*") | Sort-Object)) {
        $begins = [long][IO.Path]::GetFileName($path).Substring(2) - $base
        if ($last -and $begins -le [long]$stream[1]) { [IO.File]::Delete($last) }
        $last = $path
      }
    }
  }
  $shared.over = $true
}
$shared = [Hashtable]::Synchronized(@{ over = $false })
$beside = [Management.Automation.PowerShell]::Create()
[void]$beside.AddScript([string]$release).AddArgument($in).AddArgument($d).AddArgument($base).AddArgument($shared)
[void]$beside.BeginInvoke()

$places = @{ o = $args[1]; e = $args[2] }
foreach ($letter in 'o', 'e') {
  if ($places[$letter] -eq '-') { $places[$letter] = end_of $letter } else { $places[$letter] = [long]$places[$letter] }
}
line "S $($places.o) $($places.e)"
$out.Flush()
while (-not $shared.over) {
  $ended = [IO.File]::Exists("$d\done")
  $sent = $false
  foreach ($letter in 'o', 'e') {
    $next = [long](send $letter $places[$letter])
    if ($next -ne $places[$letter]) { $sent = $true }
    $places[$letter] = $next
  }
  if ($sent) { continue }
  if ($ended) {
    tell_exit $d
    exit 0
  }
  if (-not [IO.Directory]::Exists($d)) {
    line 'A'
    exit 0
  }
  # Windows tells of a file that grows only when it is closed.
  $looks++
  if ($looks % 25 -eq 0 -and [IO.File]::Exists("$d\pid")) { [void](supervised $d) }
  Start-Sleep -Milliseconds 200
}
exit 0
