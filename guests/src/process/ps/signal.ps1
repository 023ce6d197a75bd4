# Asks process $args[0] to end by Ctrl+C, or where $args[1] is KILL ends it and all that it has started.
$d = "$all\" + $args[0]
$words = (content "$d\pid").Split(' ')
if ($words.Length -eq 3 -and -not [IO.File]::Exists("$d\exit")) {
  if ($args[1] -ne 'KILL') {
    [IO.File]::WriteAllText("$d\interrupt", '')
  } elseif (lives $words[0] $words[1]) {
    kill_tree $words[0]
  }
}
