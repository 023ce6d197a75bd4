# Progress goes to standard output, a line for each step; an error ends the recipe.
say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$NAME" "$*" >&2; exit 1; }
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
