# Gives a file: its path in a line. Tells its bytes and its SHA-256, and is told from which byte on it is wanted.
$file = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
digest
say "file $($file.Length) $(sum)"
$from = line
if ($from -ne '') {
  [void]$file.Seek([int64]$from, 'Begin')
  while (($n = $file.Read($buffer, 0, $buffer.Length)) -gt 0) { $out.Write($buffer, 0, $n) }
  $out.Flush()
}
