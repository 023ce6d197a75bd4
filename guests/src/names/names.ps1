# Resolves names by servers $servers (addresses, separated by commas) and suffixes $suffixes, in force at once; where $name is
# something, that is the guest's name from its next boot on. Where $before is a file, what was before is kept in it.
$interfaces = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces'
function static_of($id) { [string](Get-ItemProperty "$interfaces\$id").NameServer }
# Has WMI set the servers; says 0 or 1 where it did.
function order_servers($adapter, $list) {
  if ($list) { $adapter.SetDNSServerSearchOrder([string[]]($list -split '[, ]+')).ReturnValue } else { $adapter.SetDNSServerSearchOrder().ReturnValue }
}
function set_servers($adapter, $list) {
  $code = order_servers $adapter $list
  if ($code -gt 1) { refuse "Windows does not take the DNS servers $list (Win32_NetworkAdapterConfiguration says $code)" }
}
# Gives adapter $id the servers $list back. WMI leaves one alone that has no link: it takes them from the registry when it comes up.
# One that is gone for good needs none.
function restore_servers($id, $list) {
  if (-not (Test-Path "$interfaces\$id")) { return }
  if ((static_of $id) -eq $list) { return }
  foreach ($adapter in @(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter "SettingID='$id'")) {
    try { [void](order_servers $adapter $list) } catch { }
  }
  if ((static_of $id) -ne $list) { Set-ItemProperty "$interfaces\$id" NameServer $list }
}
function set_suffixes($list) {
  $class = [wmiclass]'Win32_NetworkAdapterConfiguration'
  if (-not $list) {
    # Whether it takes none is not documented; this is where Windows keeps them.
    try { [void]$class.SetDNSSuffixSearchOrder([string[]]@()) } catch { }
    if (suffixes_now) { Set-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' SearchList '' }
    return
  }
  $code = $class.SetDNSSuffixSearchOrder([string[]]($list -split ',')).ReturnValue
  if ($code -gt 1) { refuse "Windows does not take the search domains $list (Win32_NetworkAdapterConfiguration says $code)" }
}
function adapters { @(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'IPEnabled=TRUE') }
function suffixes_now { [string](Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters').SearchList }
# What file $before has kept, by `suffixes` and the adapters' numbers.
function kept_in($before) {
  $known = @{}
  if ($before -and [IO.File]::Exists($before)) {
    foreach ($line in [IO.File]::ReadAllLines($before)) {
      $at = $line.IndexOf('=')
      if ($at -gt 0) { $known[$line.Substring(0, $at)] = $line.Substring($at + 1) }
    }
  }
  $known
}
# Keeps what was before in file $before, where it has not: an adapter may have come later than the others.
function keep($before, $known, $what, $value) {
  if (-not $before -or $known.ContainsKey($what)) { return }
  [void][IO.Directory]::CreateDirectory($root)
  [IO.File]::AppendAllText($before, "$what=$value`r`n")
}
function set_names($name, $servers, $suffixes, $before) {
  if ($servers) {
    $known = kept_in $before
    keep $before $known 'suffixes' (suffixes_now)
    foreach ($adapter in @(adapters)) {
      $id = [string]$adapter.SettingID
      $now = static_of $id
      keep $before $known $id $now
      if ($now -ne $servers) { set_servers $adapter $servers }
    }
    if ((suffixes_now) -ne $suffixes) { set_suffixes $suffixes }
  }
  if ($name) {
    $next = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters').'NV Hostname'
    if ($next -ne $name) {
      $computer = Get-WmiObject Win32_ComputerSystem
      if ($computer.PartOfDomain) { refuse 'the guest is known to its domain by the name that it has' }
      $code = $computer.Rename($name, $null, $null).ReturnValue
      if ($code -ne 0) { refuse "Windows does not take the name $name (Win32_ComputerSystem says $code)" }
    }
  }
}
# Resolves names as before. What was before is kept until all of it is so again.
function restore_names($before) {
  if (-not [IO.File]::Exists($before)) { return }
  $known = kept_in $before
  $left = ''
  foreach ($id in @($known.Keys)) {
    if ($id -eq 'suffixes') { continue }
    try { restore_servers $id $known[$id] } catch { $left = "$left $id ($_)" }
  }
  if ((suffixes_now) -ne $known['suffixes']) { set_suffixes $known['suffixes'] }
  if ($left) { refuse "the DNS servers that were there before are not given back:$left" }
  [IO.File]::Delete($before)
}
