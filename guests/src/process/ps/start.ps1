# Starts process $args[0], once; $args[1] is what the supervisor runs. Standard input: what it is asked, as supervise.ps1 reads it.
only_administrators 'processes are run by'
$d = "$all\" + $args[0]
if ([IO.Directory]::Exists("$root\processes")) {
  # Another start may be at it too.
  foreach ($boot in [IO.Directory]::GetDirectories("$root\processes")) { if ($boot -ne $all) { try { delete $boot } catch { } } }
}
make_private $all
[void][IO.Directory]::CreateDirectory($d)
$claim = $null
try { $claim = New-Object IO.FileStream("$d\claim", [IO.FileMode]::CreateNew) } catch { if (-not (exists "$d\claim")) { throw } }
if ($claim) {
  $claim.Close()
  $lines = New-Object Text.StringBuilder
  for ($line = $in.ReadLine(); $line -ne $null; $line = $in.ReadLine()) { [void]$lines.Append("$line`n") }
  [IO.File]::WriteAllText("$d\asked", $lines.ToString())
  [IO.File]::WriteAllText("$d\supervise.ps1", $args[1])
  # Windows' own service makes it, so it is of no session. Neither path has a character that means anything.
  $run = "& ([ScriptBlock]::Create([IO.File]::ReadAllText('$d\supervise.ps1'))) '$d'"
  $line = 'powershell.exe -NoLogo -NoProfile -NonInteractive -EncodedCommand ' +
    [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($run))
  # Not in the directory of the process: nobody could remove that.
  $made = ([wmiclass]'Win32_Process').Create($line, $env:SystemRoot, $null)
  if ($made.ReturnValue -ne 0) {
    delete $d
    refuse "Windows does not make the process that supervises it: Win32_Process.Create says $($made.ReturnValue)"
  }
}
report $d
