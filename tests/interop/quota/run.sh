#!/bin/sh
# A control group's quota that changes while the server runs: what it says of its cores, and its threads, follow. Linux, root and Python 3.
# Where no control group can be made, that is said in a line that begins with SKIPPED.
set -eu
here=$(dirname "$0")
root="$here/../../.."
binary=${RESNETD:-"$root/target/debug/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --quiet --locked)
exec python3 "$here/check.py" "$(realpath "$binary")"
