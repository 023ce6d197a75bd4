# Tells what became of the process.
if [ -z "$d" ]; then
  echo A
  exit
fi
cd "$d" || exit 1
n=0
until [ -s functions ] || [ "$n" -ge 10 ]; do
  sleep 1
  n=$((n + 1))
done
if [ ! -s functions ]; then
  echo "X 137 0 $(date +%s) 0"
  exit
fi
. ./functions
report
