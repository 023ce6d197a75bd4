# Ends whatever is left of the process of directory $d, and removes all traces.
function remove_process($d) {
  if (-not [IO.Directory]::Exists($d)) { return }
  $words = (content "$d\supervisor").Split(' ')
  $program = (content "$d\pid").Split(' ')
  if ($program.Length -eq 3) {
    # Where it is `done`, what it left was ended, and its number may be another's since long.
    if (lives $program[0] $program[1]) { kill_tree $program[0] } elseif (-not [IO.File]::Exists("$d\done")) { kill_left $program[0] $program[1] }
  }
  if ($words.Length -eq 2 -and (lives $words[0] $words[1])) { kill_tree $words[0] }
  # A follower that reads a file lets it be deleted, which is seen when it has gone.
  for ($n = 0; [IO.Directory]::Exists($d); $n++) {
    try { delete $d } catch { if ($n -ge 25) { throw } }
    if ([IO.Directory]::Exists($d)) { Start-Sleep -Milliseconds 200 }
  }
}
# Removes every process, of whatever boot.
function remove_all {
  if (-not [IO.Directory]::Exists("$root\processes")) { return }
  if ([IO.Directory]::Exists($all)) { foreach ($d in [IO.Directory]::GetDirectories($all)) { remove_process $d } }
  delete "$root\processes"
}
