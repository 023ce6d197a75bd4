# What both have in common: lines in and out beside bytes, and the hash of a file. Standard input is read by no reader of text,
# which would take bytes ahead.
trap {
  [Console]::Error.WriteLine($_.Exception.Message)
  exit 1
}
$ErrorActionPreference = 'Stop'
$in = [Console]::OpenStandardInput()
$out = [Console]::OpenStandardOutput()
$buffer = New-Object byte[] 65536
# Where only certified algorithms may be used, the second is refused; the first is not there before .NET 3.5, of which PowerShell 2.0
# loads nothing by itself.
[void][Reflection.Assembly]::LoadWithPartialName('System.Core')
try { $hash = New-Object Security.Cryptography.SHA256CryptoServiceProvider }
catch { $hash = New-Object Security.Cryptography.SHA256Managed }
function line {
  $b = New-Object IO.MemoryStream
  while (($c = $in.ReadByte()) -gt 10) { $b.WriteByte($c) }
  [Text.Encoding]::ASCII.GetString($b.ToArray())
}
function say($text) {
  $b = [Text.Encoding]::ASCII.GetBytes("$text`n")
  $out.Write($b, 0, $b.Length)
  $out.Flush()
}
# Takes the rest of $file into the hash.
function digest {
  while (($n = $file.Read($buffer, 0, $buffer.Length)) -gt 0) { [void]$hash.TransformBlock($buffer, 0, $n, $buffer, 0) }
}
function sum {
  [void]$hash.TransformFinalBlock($buffer, 0, 0)
  [BitConverter]::ToString($hash.Hash).Replace('-', '').ToLower()
}
$path = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String((line)))
# cmd takes a slash for the beginning of an option.
$path = $path.Replace('/', '\')
if ([IO.Directory]::Exists($path)) { throw "$path is a directory" }
