#!/bin/sh
# Random pictures of every format, read by Pillow and by us: any difference in a pixel fails. FILES=20000 says how many,
# SEED=… repeats a run; needs the network once, and Python 3.10 or newer.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/pictures"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
(cd "$root" && cargo build --release --quiet --example pixels)
exec "$venv/bin/python" "$here/fuzz.py" --files "${FILES:-20000}" ${SEED:+--seed "$SEED"}
