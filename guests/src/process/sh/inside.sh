# Runs $2, $3, ... as the process runs: its launch script, with other arguments.
if [ -z "$d" ] || [ ! -s "$d/launch" ] || [ -e "$d/exit" ]; then
  echo "the process is gone" >&2
  exit 126
fi
shift
exec env -i PATH="$PATH" sh "$d/launch" "$d" "$id" "$@"
