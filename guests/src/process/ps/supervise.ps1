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
# Where the console's code page is UTF-8, .NET would begin the program's input with the mark of that encoding.
try {
  if ([Console]::InputEncoding.GetPreamble().Length -gt 0) { [Console]::InputEncoding = New-Object Text.UTF8Encoding($false) }
} catch { }
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
  # A relative path is one in the program's directory, and not in ours.
  if ($start.FileName -match '[\\/]') { $start.FileName = [IO.Path]::Combine($start.WorkingDirectory, $start.FileName) }
  if ($stdin -ne 'closed') { [IO.File]::WriteAllText("$d\in", '') }
  $program = [Diagnostics.Process]::Start($start)
} catch {
  put_file "$d\refused" "$($start.FileName) cannot be run in the guest: $($_.Exception.Message)"
  exit
}
$number = $program.Id
# It may have ended by now: our handle tells even then when it began, and WMI does not, which knows whole microseconds only.
$ticks = $program.StartTime.ToUniversalTime().Ticks
$ticks -= $ticks % 10
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
# Whether little enough of it is unreleased: 4 MiB. The program waits until then. Once it has ended there is room for its last words.
function has_room($stream) {
  $most = 4194304
  if ($ended) { $most += 1048576 }
  $oldest = $stream.at
  foreach ($path in [IO.Directory]::GetFiles($d, "$($stream.letter).1*")) {
    $begins = [long][IO.Path]::GetFileName($path).Substring(2) - $base
    if ($begins -lt $oldest) { $oldest = $begins }
  }
  $stream.at - $oldest -lt $most
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

# Its input, as far as it was written for it: file `in`, of which `in.at` bytes were taken. Nothing is kept in a buffer above the pipe:
# to flush that would wait here for a program that does not read.
$pipe = $program.StandardInput.BaseStream.SafeFileHandle
$typed = @{ to = (New-Object IO.FileStream($pipe, [IO.FileAccess]::Write, 1, $false)); taken = [long]0; told = [long]0; writing = $null; open = $true }
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
    try { $typed.to.EndWrite($typed.writing) } catch { return end_input }
    $typed.writing = $null
  }
  if ($typed.told -ne $typed.taken) {
    # Who holds the file for a moment is no reason to end: the next turn tells it.
    try {
      [IO.File]::WriteAllText("$d\in.at", [string]$typed.taken)
      $typed.told = $typed.taken
    } catch { }
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
    # Who asks for it may still hold the file: then at the next turn.
    try {
      [IO.File]::Delete("$d\interrupt")
      interrupt
    } catch { }
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
