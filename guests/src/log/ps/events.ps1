# Follows event log $args[0] from record $args[1] on (nothing: from the beginning of this boot). It prints `S fresh`, or `S found` and
# that record again, or `S lost` and the oldest that there is; then for each record `V ID TIME TEXT`: the time in units of 100 ns
# since 1970, the text in base64.
[void][Reflection.Assembly]::LoadWithPartialName('System.Core')
# .NET asks for the words of a record in the language of dates and numbers, in which Windows may have none.
try { [Threading.Thread]::CurrentThread.CurrentCulture = [Threading.Thread]::CurrentThread.CurrentUICulture } catch { }
$channel = $args[0]
$epoch = New-Object DateTime(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
function matching($path) {
  New-Object Diagnostics.Eventing.Reader.EventLogQuery($channel, [Diagnostics.Eventing.Reader.PathType]::LogName, $path)
}
function query($path) {
  $query = matching $path
  New-Object Diagnostics.Eventing.Reader.EventLogReader($query)
}
# What comes after a record: Windows goes there at once, and looks through a whole log for a number.
function query_after($mark) {
  $query = matching '*'
  New-Object Diagnostics.Eventing.Reader.EventLogReader($query, $mark)
}
# The last record that there is, or nothing. A log of traces cannot be read backwards, and throws.
function newest {
  $query = matching '*'
  $query.ReverseDirection = $true
  $backwards = New-Object Diagnostics.Eventing.Reader.EventLogReader($query)
  $backwards.ReadEvent()
  $backwards.Dispose()
}
function words($record) {
  $text = ''
  try { $text = $record.FormatDescription() } catch { }
  # The program that knows its words is not installed: what it would put in between.
  if (-not $text) {
    try { $text = [string]::Join(' ', @(foreach ($property in $record.Properties) { [string]$property.Value })) } catch { }
  }
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
# The last record that was told: its number, and the bookmark at it.
$last = [long]0
$mark = $null
try { $reader = query '*' } catch { unsupported "the guest has no event log $channel, or does not show it to this user: $_" }
if ($args[1]) {
  $last = [long]$args[1]
  $reader = query "*[System[EventRecordID>=$last]]"
  $first = $reader.ReadEvent()
  if ($first -and [long]$first.RecordId -eq $last) {
    line 'S found'
    tell $first
    $mark = $first.Bookmark
  } else {
    line 'S lost'
    $last = [long]0
  }
} else {
  line 'S fresh'
  $boot = @(Get-WmiObject Win32_Process -Filter "Name='wininit.exe'")[0].CreationDate
  $boot = [Management.ManagementDateTimeConverter]::ToDateTime($boot).ToUniversalTime()
  $since = $boot.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", [Globalization.CultureInfo]::InvariantCulture)
  # Where there are none of this boot, what comes next is told, and none of before.
  try {
    $before = newest
    if ($before) {
      $last = [long]$before.RecordId
      $mark = $before.Bookmark
    }
  } catch { }
  $reader = query "*[System[TimeCreated[@SystemTime>='$since']]]"
  for ($record = $reader.ReadEvent(); $record -ne $null; $record = $reader.ReadEvent()) {
    if ($shared.over) { exit 0 }
    tell $record
    $last = [long]$record.RecordId
    $mark = $record.Bookmark
  }
}
$looks = 0
while (-not $shared.over) {
  if ($mark) { $reader = query_after $mark } else { $reader = query "*[System[EventRecordID>$last]]" }
  for ($record = $reader.ReadEvent(); $record -ne $null; $record = $reader.ReadEvent()) {
    if ($shared.over) { exit 0 }
    # A bookmark whose record is gone may lead to any other.
    if ([long]$record.RecordId -le $last) { continue }
    tell $record
    $last = [long]$record.RecordId
    $mark = $record.Bookmark
  }
  $reader.Dispose()
  # Who clears a log may have it count from 1 again.
  $looks++
  if ($looks % 10 -eq 0) {
    try {
      $final = newest
      if (-not $final -or [long]$final.RecordId -lt $last) {
        $last = [long]0
        $mark = $null
      }
    } catch { }
  }
  $out.Flush()
  Start-Sleep -Seconds 1
}
exit 0
