$ErrorActionPreference='Stop'
$ProgressPreference='SilentlyContinue'
$in=New-Object IO.StreamReader([Console]::OpenStandardInput(),[Text.Encoding]::ASCII)
function bytes{$l=$in.ReadLine();if($l -eq $null){exit 70};,[Convert]::FromBase64String($l)}
function text{[Text.Encoding]::UTF8.GetString((bytes))}
$run=[ScriptBlock]::Create((text))
$n=[int](text)
$a=@()
while($a.Length -lt $n){$a+=,(text)}
& $run @a
