#!/bin/sh
# examples/spark and examples/ray with the real engines: each picture has one row, equal to the one of `resnetd classify`, also after a kill
# in the middle. Needs Java 17, the network once (1 GB), and Python 3.10 or newer.
#   PICTURES=test.tar   a tar file or folder with many pictures [default: the ten of the fixtures]
#   COUNT=10000         how many are taken; they are repeated where there are fewer
#   --quick             a few hundred
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/bulk"}
if ! command -v java >/dev/null; then
    echo "SKIPPED bulk: there is no java"
    exit 0
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
[ -n "${VENV:-}" ] || "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
PYTHONPATH="$here/.." exec "$venv/bin/python" "$here/check.py" "$binary" "$@"
