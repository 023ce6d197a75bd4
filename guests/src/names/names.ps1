# Resolves names by servers $servers (addresses, separated by commas) and suffixes $suffixes, in force at once; where $name is
# something, that is the guest's name from its next boot on. Where $before is a file, what was before is kept in it.
function static_of($adapter) {
  $key = "HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\$($adapter.SettingID)"
  [string](Get-ItemProperty $key).NameServer
}
function set_servers($adapter, $list) {
  if ($list) { $code = $adapter.SetDNSServerSearchOrder([string[]]($list -split '[, ]+')).ReturnValue } else { $code = $adapter.SetDNSServerSearchOrder().ReturnValue }
  if ($code -gt 1) { refuse "Windows does not take the DNS servers $list (Win32_NetworkAdapterConfiguration says $code)" }
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
function set_names($name, $servers, $suffixes, $before) {
  if ($servers) {
    if ($before -and -not [IO.File]::Exists($before)) {
      $lines = @("suffixes=$(suffixes_now)")
      foreach ($adapter in @(adapters)) { $lines += "$($adapter.SettingID)=$(static_of $adapter)" }
      [void][IO.Directory]::CreateDirectory($root)
      [IO.File]::WriteAllLines($before, [string[]]$lines)
    }
    foreach ($adapter in @(adapters)) { if ((static_of $adapter) -ne $servers) { set_servers $adapter $servers } }
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
# Resolves names as before.
function restore_names($before) {
  if (-not [IO.File]::Exists($before)) { return }
  $known = @{}
  foreach ($line in [IO.File]::ReadAllLines($before)) {
    $at = $line.IndexOf('=')
    $known[$line.Substring(0, $at)] = $line.Substring($at + 1)
  }
  foreach ($adapter in @(adapters)) {
    $list = $known[[string]$adapter.SettingID]
    if ($list -ne $null -and (static_of $adapter) -ne $list) { set_servers $adapter $list }
  }
  if ((suffixes_now) -ne $known['suffixes']) { set_suffixes $known['suffixes'] }
  [IO.File]::Delete($before)
}
