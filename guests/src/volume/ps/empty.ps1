# Makes the empty directory of volume $volume; where $open is something, everybody may write to it. One that is there stays.
function make_empty($volume, $open) {
  $v = "$root\volumes\$volume"
  if ([IO.Directory]::Exists($v)) { return }
  make_private $v
  if ($open) {
    $users = New-Object Security.Principal.SecurityIdentifier('S-1-5-32-545')
    $rule = New-Object Security.AccessControl.FileSystemAccessRule($users, 'Modify', 'ContainerInherit,ObjectInherit', 'None', 'Allow')
    $acl = [IO.Directory]::GetAccessControl($v)
    $acl.AddAccessRule($rule)
    [IO.Directory]::SetAccessControl($v, $acl)
  }
}
