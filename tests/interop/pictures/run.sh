#!/bin/sh
# Ten minutes of random pictures, read by Pillow and by us: any difference in a pixel fails.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/pictures"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
(cd "$root" && cargo build --release --quiet --example pixels)
exec "$venv/bin/python" "$here/fuzz.py" "$@"
