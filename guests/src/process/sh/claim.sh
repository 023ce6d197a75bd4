# Takes the private directory $1 for process $2, or says `E`: somebody else has. Detached already. $3 standard input, $4
# terminal, $5 $6 $7 limits, $8 family (`systemd VERSION`, else another word), then the scripts functions, fence and supervise; the launch script on standard input.
spec=$(cat)
case $spec in *"#end") ;; *) exit 1 ;; esac
d=$1
if ! mkdir "$d" 2>/dev/null; then
  if [ -d "$d" ]; then echo E >&3; else echo "U $d cannot be made in the guest" >&3; fi
  exit
fi
cd "$d"
printf '%s\n' "$9" >functions.new
. ./functions.new
began $$
echo "$$ $T" >supervisor
mv functions.new functions
printf '%s\n' "$spec" >launch
printf '%s\n' "${10}" >fence
printf '%s\n' "${11}" >supervise
version=${8#systemd }
if [ "$version" = "$8" ]; then exec env -i PATH="$PATH" sh "$d/supervise" "$d" "$2" "$3" "$4" "$5" "$6" "$7"; fi
mkfifo answer
oom= collect=
if [ "$version" -ge 243 ]; then oom=--property=OOMPolicy=continue; fi
if [ "$version" -ge 236 ]; then
  collect=--property=CollectMode=inactive-or-failed
else
  true >failing
fi
n=0
until said=$(systemd-run --quiet --unit="infranetes-$2" $oom $collect --property=Delegate=yes --property=IgnoreSIGPIPE=no \
  env -i PATH="$PATH" sh "$d/supervise" "$d" "$2" "$3" "$4" "$5" "$6" "$7" 2>&1); do
  # The unit of a process of this name that was removed may not be gone yet.
  case $n$said in
    [0-9][!0-9]*already*)
      n=$((n + 1))
      systemctl stop "infranetes-$2.service" 2>/dev/null
      sleep 1
      ;;
    *)
      echo "U systemd-run:" $said >&3
      cd / && rm -rf "$d"
      exit
      ;;
  esac
done
read -r answer <answer
echo "$answer" >&3
