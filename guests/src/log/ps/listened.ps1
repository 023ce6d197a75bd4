# Knows when nobody listens any more, even if there is nothing to write: `over`.
$shared = [Hashtable]::Synchronized(@{ over = $false })
$beside = [Management.Automation.PowerShell]::Create()
$wait = 'param($in, $shared); while ($in.ReadLine() -ne $null) { }; $shared.over = $true'
[void]$beside.AddScript($wait).AddArgument($in).AddArgument($shared)
[void]$beside.BeginInvoke()
$out = [Console]::OpenStandardOutput()
function line($text) {
  $bytes = [Text.Encoding]::ASCII.GetBytes("$text`n")
  $out.Write($bytes, 0, $bytes.Length)
}
# Ends it where the guest has no such log.
function unsupported($why) {
  [Console]::Error.WriteLine($why)
  exit 69
}
