# Runs the program and keeps its output and its end, in directory $args[0].
$ErrorActionPreference = 'Stop'
$d = $args[0]
$me = @(Get-WmiObject Win32_Process -Filter "ProcessId=$PID")[0]
put_file "$d\supervisor" "$PID $(began $me)"
$in = New-Object IO.StreamReader("$d\asked")
function text { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($in.ReadLine())) }
$start = New-Object Diagnostics.ProcessStartInfo
$start.FileName = text
$start.Arguments = text
$start.WorkingDirectory = text
$message = text
$stdin = text
$count = [int](text)
for ($i = 0; $i -lt $count; $i++) {
  $name = text
  $start.EnvironmentVariables[$name] = text
}
$in.Close()
# It may hold secrets.
[IO.File]::Delete("$d\asked")
$start.UseShellExecute = $false
$start.RedirectStandardInput = $true
$start.RedirectStandardOutput = $true
$start.RedirectStandardError = $true
# Given up by who waited for too long.
if ([IO.File]::Exists("$d\exit")) { exit }
try {
  if ($message) {
    [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($message))
    [IO.File]::WriteAllText($message, '')
    [IO.File]::WriteAllText("$d\message_path", $message)
  }
  [void][IO.Directory]::CreateDirectory($start.WorkingDirectory)
  if ($stdin -ne 'closed') { [IO.File]::WriteAllText("$d\in", '') }
  $program = [Diagnostics.Process]::Start($start)
} catch {
  put_file "$d\refused" "$($start.FileName) cannot be run in the guest: $($_.Exception.Message)"
  exit
}
$number = $program.Id
$ticks = 0
try { $ticks = began (@(Get-WmiObject Win32_Process -Filter "ProcessId=$number")[0]) } catch { }
put_file "$d\pid" "$number $ticks $(now)"

# A stream of its output: where it ends, the segment that it goes to and where that begins, the reading that is under way.
function open_stream($letter, $from) {
  $stream = @{ letter = $letter; from = $from; at = [long]0; begins = [long]0; file = $null; buffer = (New-Object byte[] 65536); reading = $null; room = $false; ended = $false }
  next_segment $stream
  $stream
}
function next_segment($stream) {
  if ($stream.file) { $stream.file.Close() }
  $stream.begins = $stream.at
  $path = "$d\$($stream.letter)." + ($base + $stream.at)
  $stream.file = New-Object IO.FileStream($path, [IO.FileMode]::Create, [IO.FileAccess]::Write, [IO.FileShare]'ReadWrite,Delete')
}
# Whether little enough of it is unreleased: 4 MiB. The program waits until then.
function has_room($stream) {
  $oldest = $stream.at
  foreach ($path in [IO.Directory]::GetFiles($d, "$($stream.letter).1*")) {
    $begins = [long][IO.Path]::GetFileName($path).Substring(2) - $base
    if ($begins -lt $oldest) { $oldest = $begins }
  }
  $stream.at - $oldest -lt 4194304
}
# Begins to read, but where there is no room, which is looked for once a segment.
function begin_reading($stream) {
  if ($stream.ended) { return }
  if (-not $stream.room) { $stream.room = has_room $stream }
  if ($stream.room) { $stream.reading = $stream.from.BeginRead($stream.buffer, 0, 65536, $null, $null) }
}
# Takes what came; some of it, so that the other stream has its turn.
function pump($stream) {
  if (-not $stream.reading) { begin_reading $stream }
  for ($turn = 0; $turn -lt 64 -and $stream.reading -and $stream.reading.IsCompleted; $turn++) {
    $n = 0
    try { $n = $stream.from.EndRead($stream.reading) } catch { }
    $stream.reading = $null
    if ($n -eq 0) {
      $stream.ended = $true
      return
    }
    $stream.file.Write($stream.buffer, 0, $n)
    $stream.file.Flush()
    $stream.at += $n
    if ($stream.at - $stream.begins -ge 262144) {
      next_segment $stream
      $stream.room = $false
    }
    begin_reading $stream
  }
}

# Its input, as far as it was written for it: file `in`, of which `in.at` bytes were taken.
$typed = @{ to = $program.StandardInput.BaseStream; taken = [long]0; writing = $null; open = $true }
function end_input {
  $typed.open = $false
  # The writer above it would put the mark of its encoding there.
  try { $typed.to.Close() } catch { }
}
function feed {
  if (-not $typed.open) { return }
  if ($stdin -eq 'closed') { return end_input }
  if ($typed.writing) {
    if (-not $typed.writing.IsCompleted) { return }
    try { $typed.to.EndWrite($typed.writing); $typed.to.Flush() } catch { return end_input }
    $typed.writing = $null
    [IO.File]::WriteAllText("$d\in.at", [string]$typed.taken)
  }
  $ends = [IO.File]::Exists("$d\in.end")
  $file = New-Object IO.FileStream("$d\in", [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
  [void]$file.Seek($typed.taken, [IO.SeekOrigin]::Begin)
  $bytes = New-Object byte[] 32768
  $n = $file.Read($bytes, 0, 32768)
  $file.Close()
  if ($n -gt 0) {
    $typed.taken += $n
    try { $typed.writing = $typed.to.BeginWrite($bytes, 0, $n, $null, $null) } catch { end_input }
  } elseif ($ends) { end_input }
}

# Asks it to end: as somebody at its console would, with Ctrl+C, which this process does not hear then.
function interrupt {
  Add-Type -Namespace Infranetes -Name Console -MemberDefinition @'
[DllImport("kernel32.dll")] public static extern bool SetConsoleCtrlHandler(IntPtr handler, bool add);
[DllImport("kernel32.dll")] public static extern bool GenerateConsoleCtrlEvent(uint what, uint group);
'@
  [void][Infranetes.Console]::SetConsoleCtrlHandler([IntPtr]::Zero, $true)
  [void][Infranetes.Console]::GenerateConsoleCtrlEvent(0, 0)
}

$streams = @((open_stream 'o' $program.StandardOutput.BaseStream), (open_stream 'e' $program.StandardError.BaseStream))
$ended = $null
while ($true) {
  foreach ($stream in $streams) { pump $stream }
  feed
  if ([IO.File]::Exists("$d\interrupt")) {
    [IO.File]::Delete("$d\interrupt")
    try { interrupt } catch { }
  }
  if (-not $ended -and $program.HasExited) {
    $ended = [DateTime]::UtcNow
    conclude $d $program.ExitCode
    kill_left $number $ticks
  }
  if ($streams[0].ended -and $streams[1].ended -and $ended) { break }
  # Somebody holds its output who cannot be ended.
  if ($ended -and ([DateTime]::UtcNow - $ended).TotalSeconds -gt 10) { break }
  $waiting = @(foreach ($stream in $streams) { if ($stream.reading) { $stream.reading.AsyncWaitHandle } })
  if ($waiting.Length -gt 0) {
    [void][Threading.WaitHandle]::WaitAny([Threading.WaitHandle[]]$waiting, 200)
  } else {
    Start-Sleep -Milliseconds 200
  }
}
foreach ($stream in $streams) { $stream.file.Close() }
put_file "$d\done" ''
