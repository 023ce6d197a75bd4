# Mounts volume $2, which is there, or its part $3, at path $4 as mount $1; `ro` in $5 where nobody may write to it. It comes last.
# What is not there below another mount is made in what is mounted there: over the mount nobody may be able to write.
marker=$root/.mounts/$1 from=$root/$2${3:+/$3} made= at=$4 below=
if [ -e "$marker" ]; then
  echo D
  exit
fi
for m in "$root"/.mounts/*; do
  if [ -e "$m" ] && { IFS= read -r path && read -r x && IFS= read -r other; } <"$m"; then
    if [ "$path" = "$4" ] && [ "$other" != "$2/$3" ]; then
      refuse "another container of the pod has something else mounted at $4, and they share the guest's files"
    fi
    path=${path%/}
    case $4 in
      "$path"/*) if [ ${#path} -gt ${#below} ]; then below=$path volume=$root/$other rest=${4#"$path"/}; fi ;;
    esac
  fi
done
if [ "$below" ]; then
  at=$volume/$rest
  if [ -L "$volume/${rest%%/*}" ]; then refuse "$4 is among the files of the volume at $below, and would go with their next change"; fi
fi
if [ ! -e "$from" ]; then refuse "the volume has no $3"; fi
umask 022
top=$4
while [ "${top%/*}" ] && [ ! -e "${top%/*}" ]; do top=${top%/*}; done
if [ -d "$from" ]; then
  if [ ! -e "$4" ]; then mkdir -p "$at" && made=directory; fi
elif [ ! -e "$4" ]; then
  mkdir -p "${at%/*}/" && true >"$at" && made=file
fi
if [ ! -e "$4" ]; then refuse "the mount path $4 cannot be made in the guest"; fi
said=$(mount -o bind "$from" "$4" 2>&1) || refuse "nothing can be mounted at $4 in the guest:" $said
if [ "$5" = ro ] && ! mount -o remount,ro,bind "$4"; then
  umount "$4"
  refuse "what is mounted at $4 cannot be made read-only in the guest"
fi
printf '%s\n%s\n%s\n%s\n' "$4" "$made" "$2/$3" "$top" >"$marker"
