# Where only administrators make anything.
$root = "$env:SystemRoot\Infranetes"
# Only SYSTEM and administrators; children inherit it.
$private = 'D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
function say($line) { [Console]::Out.Write("$line`n") }
# Ends the script with why it cannot be done.
function refuse($why) {
  say ('U ' + ($why -replace '[\r\n]+', ' '))
  exit 0
}
function base64($text) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes("$text")) }
function only_administrators($what) {
  $me = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
  if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    refuse "$what an administrator: log in as one to whom Windows leaves that over the network (LocalAccountTokenFilterPolicy)"
  }
}
# Makes directory $path, which nobody else can look into, with those above it.
function make_private($path) {
  if (-not [IO.Directory]::Exists($path)) {
    $acl = New-Object Security.AccessControl.DirectorySecurity
    $acl.SetSecurityDescriptorSddlForm($private, [Security.AccessControl.AccessControlSections]::Access)
    [void][IO.Directory]::CreateDirectory($path, $acl)
  }
}
# Whether a file or a directory is at $path.
function exists($path) { [IO.File]::Exists($path) -or [IO.Directory]::Exists($path) }
# Whether $path is a link, and not what it leads to.
function is_link($path) {
  try { ([int][IO.File]::GetAttributes($path) -band 0x400) -ne 0 } catch { $false }
}
# Has cmd make a link at $path to $to: of a directory with /J in $how, of a file with nothing. Neither is seen by cmd before its
# line is taken apart.
function link($path, $to, $how) {
  $env:INFRANETES_PATH = $path
  $env:INFRANETES_TO = $to
  $said = cmd.exe /d /v:on /c "mklink $how `"!INFRANETES_PATH!`" `"!INFRANETES_TO!`" 2>&1"
  if (-not (is_link $path)) { refuse "the link $path cannot be made in the guest: $said" }
}
# Removes file or directory $path, with all that is in it but for what links in it lead to.
function delete($path) {
  if ([IO.Directory]::Exists($path)) {
    if (-not (is_link $path)) {
      foreach ($inner in [IO.Directory]::GetFileSystemEntries($path)) { delete $inner }
    }
    # One that is read-only stays. Why it cannot be removed is told by what comes next.
    try { [IO.File]::SetAttributes($path, [IO.FileAttributes]::Normal) } catch { }
    [IO.Directory]::Delete($path)
  } elseif ([IO.File]::Exists($path) -or (is_link $path)) {
    [IO.File]::SetAttributes($path, [IO.FileAttributes]::Normal)
    [IO.File]::Delete($path)
  }
}
