# Follows event log $args[0] from record $args[1] on (nothing: from the beginning of this boot). It prints `S fresh`, or `S found` and
# that record again, or `S lost` and the oldest that there is; then for each record `V ID TIME TEXT`: the time in units of 100 ns
# since 1970, the text in base64.
[void][Reflection.Assembly]::LoadWithPartialName('System.Core')
$channel = $args[0]
$epoch = New-Object DateTime(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
function query($path) {
  $query = New-Object Diagnostics.Eventing.Reader.EventLogQuery($channel, [Diagnostics.Eventing.Reader.PathType]::LogName, $path)
  New-Object Diagnostics.Eventing.Reader.EventLogReader($query)
}
function words($record) {
  $text = ''
  try { $text = $record.FormatDescription() } catch { }
  # The program that knows its words is not installed: what it would put in between.
  if (-not $text) { $text = [string]::Join(' ', @(foreach ($property in $record.Properties) { [string]$property.Value })) }
  $level = @{ 1 = 'critical: '; 2 = 'error: '; 3 = 'warning: ' }[[int]$record.Level]
  $text = "$($record.ProviderName)[$($record.Id)]: $level$text"
  if ($text.Length -gt 40000) { $text = $text.Substring(0, 40000) + ' [more is cut]' }
  $text
}
function tell($record) {
  $time = [long]0
  if ($record.TimeCreated) { $time = $record.TimeCreated.ToUniversalTime().Ticks - $epoch.Ticks }
  line "V $($record.RecordId) $time $(base64 (words $record))"
}
$last = [long]0
try { $reader = query '*' } catch { unsupported "the guest has no event log $channel, or does not show it to this user: $_" }
if ($args[1]) {
  $last = [long]$args[1]
  $reader = query "*[System[EventRecordID>=$last]]"
  $first = $reader.ReadEvent()
  if ($first -and [long]$first.RecordId -eq $last) {
    line 'S found'
    tell $first
  } else {
    line 'S lost'
    $last = [long]0
  }
} else {
  line 'S fresh'
  $boot = @(Get-WmiObject Win32_Process -Filter "Name='wininit.exe'")[0].CreationDate
  $boot = [Management.ManagementDateTimeConverter]::ToDateTime($boot).ToUniversalTime()
  $since = $boot.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", [Globalization.CultureInfo]::InvariantCulture)
  $reader = query "*[System[TimeCreated[@SystemTime>='$since']]]"
  for ($record = $reader.ReadEvent(); $record -ne $null; $record = $reader.ReadEvent()) {
    if ($shared.over) { exit 0 }
    tell $record
    $last = [long]$record.RecordId
  }
}
while (-not $shared.over) {
  $reader = query "*[System[EventRecordID>$last]]"
  for ($record = $reader.ReadEvent(); $record -ne $null; $record = $reader.ReadEvent()) {
    if ($shared.over) { exit 0 }
    tell $record
    $last = [long]$record.RecordId
  }
  $reader.Dispose()
  $out.Flush()
  Start-Sleep -Seconds 1
}
exit 0
