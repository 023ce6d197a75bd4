# Where processes of this boot have their directories. The start of the first of all processes tells the boot: no clock that is set,
# and no change of the time zone, changes it.
$base = 1000000000000000
$epoch = New-Object DateTime(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
function began($process) {
  [Management.ManagementDateTimeConverter]::ToDateTime($process.CreationDate).ToUniversalTime().Ticks
}
function now() { [long][Math]::Floor(([DateTime]::UtcNow - $epoch).TotalSeconds) }
$first = @(Get-WmiObject Win32_Process -Filter "Name='wininit.exe'")
$all = "$root\processes\" + (began $first[0])
# Whether a process of this number that began then is there.
function lives($number, $ticks) {
  $found = @(Get-WmiObject Win32_Process -Filter ('ProcessId=' + [int]$number))
  foreach ($process in $found) { if ([string](began $process) -eq [string]$ticks) { return $true } }
  return $false
}
# Ends process $number and all that it has started.
# Standard input is its own: a follower's is being read, and who as much as asks of what kind it is waits until something comes.
function kill_tree($number) { [void]('' | cmd.exe /d /c "taskkill.exe /f /t /pid $([int]$number) 2>&1") }
# What a process left behind that has ended itself. Who has its number by now has children of its own.
function kill_left($number, $ticks) {
  $until = [long]::MaxValue
  foreach ($owner in @(Get-WmiObject Win32_Process -Filter ('ProcessId=' + [int]$number))) {
    $at = began $owner
    if ($at -gt [long]$ticks) { $until = $at }
  }
  foreach ($process in @(Get-WmiObject Win32_Process -Filter ('ParentProcessId=' + [int]$number))) {
    $at = began $process
    if ($at -ge [long]$ticks -and $at -lt $until) { kill_tree $process.ProcessId }
  }
}
# A file as a whole, whoever writes to it; nothing where it is not there.
function content($path) {
  if (-not [IO.File]::Exists($path)) { return '' }
  [IO.File]::ReadAllText($path)
}
# Puts a file there as a whole.
function put_file($path, $text) {
  [IO.File]::WriteAllText("$path.new", $text)
  if (-not [IO.File]::Exists($path)) { [IO.File]::Move("$path.new", $path) }
}
# Writes down how the process of directory $d has ended, once. The message is what it has left, at most 4096 bytes.
function conclude($d, $code) {
  $message = ''
  try {
    $path = content "$d\message_path"
    if ($path) {
      $file = New-Object IO.FileStream($path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
      $bytes = New-Object byte[] 4096
      $n = $file.Read($bytes, 0, 4096)
      $file.Close()
      $message = [Convert]::ToBase64String($bytes, 0, $n)
    }
  } catch { }
  put_file "$d\exit" "$code 0 $(now) $message"
}
# Whether its supervisor lives. Where it does not, what it left is ended and written down.
function supervised($d) {
  $words = (content "$d\supervisor").Split(' ')
  if ($words.Length -eq 2 -and (lives $words[0] $words[1])) { return $true }
  # It has done so itself.
  if ([IO.File]::Exists("$d\done")) { return $false }
  $words = (content "$d\pid").Split(' ')
  if ($words.Length -eq 3) {
    if (lives $words[0] $words[1]) { kill_tree $words[0] } else { kill_left $words[0] $words[1] }
  }
  if (-not [IO.File]::Exists("$d\exit")) { conclude $d 137 }
  put_file "$d\done" ''
  return $false
}
function tell_exit($d) {
  $words = (content "$d\exit").Split(' ')
  $message = [Convert]::FromBase64String($words[3])
  $line = [Text.Encoding]::ASCII.GetBytes("X $($words[0]) $($words[1]) $($words[2]) $($message.Length)`n")
  $out = [Console]::OpenStandardOutput()
  $out.Write($line, 0, $line.Length)
  $out.Write($message, 0, $message.Length)
  $out.Flush()
}
# Tells what became of the process of directory $d.
function report($d) {
  if (-not [IO.Directory]::Exists($d)) {
    say 'A'
    return
  }
  # It is being started.
  $n = 0
  while ($n -lt 300 -and -not ([IO.File]::Exists("$d\pid") -or [IO.File]::Exists("$d\exit") -or [IO.File]::Exists("$d\refused"))) {
    Start-Sleep -Milliseconds 200
    $n++
  }
  if ([IO.File]::Exists("$d\refused")) {
    $why = content "$d\refused"
    # What is left says the same to who comes next.
    try { delete $d } catch { }
    refuse $why
  }
  if (-not [IO.File]::Exists("$d\exit") -and (supervised $d)) {
    $words = (content "$d\pid").Split(' ')
    say "R $($words[0]) $($words[2])"
  } else {
    tell_exit $d
  }
}
