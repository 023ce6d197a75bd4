# Sets the limits of the process from now on: $2 thousandths of a processor, $3 bytes, $4 processes; empty for none.
if [ -z "$d" ] || [ -e "$d/exit" ] || ! cd "$d" || [ ! -s supervise ]; then
  echo A
  exit
fi
. ./functions && . ./fence
limit "$2" "$3" "$4"
if [ -n "$why" ]; then echo "U $why"; else echo L; fi
