# Prints what the guest says of itself, a line for each figure.
function total($objects, $property) {
  $sum = [uint64]0
  foreach ($object in $objects) { $sum += [uint64]$object.$property }
  $sum
}
$system = Get-WmiObject Win32_OperatingSystem
$booted = [Management.ManagementDateTimeConverter]::ToDateTime($system.LastBootUpTime)
$uptime = [Math]::Floor(([Management.ManagementDateTimeConverter]::ToDateTime($system.LocalDateTime) - $booted).TotalSeconds)
say "uptime $uptime"
# A guest whose counters are broken lacks their classes; what else it knows is told all the same.
try {
  $processors = @(Get-WmiObject Win32_PerfRawData_PerfOS_Processor -Filter "Name<>'_Total'")
  say "cpu $(total $processors 'PercentUserTime') $(total $processors 'PercentPrivilegedTime')"
  $whole = Get-WmiObject Win32_PerfRawData_PerfOS_System
  say "processes $($whole.Processes) $($whole.Threads)"
} catch { }
$known = "- $([uint64]$system.FreePhysicalMemory * 1024) - -"
try {
  $memory = @(Get-WmiObject Win32_PerfRawData_PerfOS_Memory)
  $cached = 0
  foreach ($part in 'StandbyCacheCoreBytes', 'StandbyCacheNormalPriorityBytes', 'StandbyCacheReserveBytes', 'ModifiedPageListBytes') {
    $cached += total $memory $part
  }
  if ($memory.Length -gt 0) { $known = "$(total $memory 'FreeAndZeroPageListBytes') $(total $memory 'AvailableBytes') $cached $(total $memory 'PageReadsPersec')" }
} catch { }
say "memory $([uint64]$system.TotalVisibleMemorySize * 1024) $known"
say "swap $([uint64]$system.SizeStoredInPagingFiles * 1024) $([uint64]$system.FreeSpaceInPagingFiles * 1024)"
# Counters call an adapter as Windows does, but for these characters.
$macs = @{}
foreach ($adapter in @(Get-WmiObject Win32_NetworkAdapter -Filter 'MACAddress IS NOT NULL')) {
  $macs[($adapter.Name -replace '\(', '[' -replace '\)', ']' -replace '[#/\\]', '_')] = $adapter.MACAddress
}
$links = @()
try { $links = @(Get-WmiObject Win32_PerfRawData_Tcpip_NetworkInterface) } catch { }
foreach ($link in $links) {
  $mac = $macs[[string]$link.Name]
  if (-not $mac) { continue }
  $in = "$($link.BytesReceivedPersec) $($link.PacketsReceivedPersec) $($link.PacketsReceivedErrors) $($link.PacketsReceivedDiscarded)"
  $to = "$($link.BytesSentPersec) $($link.PacketsSentPersec) $($link.PacketsOutboundErrors) $($link.PacketsOutboundDiscarded)"
  say "link $(base64 $link.Name) $mac $in $to"
}
foreach ($disk in @(Get-WmiObject Win32_LogicalDisk -Filter 'DriveType=3')) {
  $first = 1
  if ($disk.DeviceID -eq $env:SystemDrive) { $first = 0 }
  if ($disk.Size) { say "disk $first $($disk.DeviceID) $($disk.Size) $($disk.FreeSpace)" }
}
