# Ends the script where the guest is not lent to $args[0], in base64.
$holder = ''
if ([IO.File]::Exists("$root\lent")) { $holder = [string]@([IO.File]::ReadAllLines("$root\lent"))[0] }
if ($holder.Trim() -cne $args[0]) { refuse 'it is lent to another holder by now' }
