#!/bin/sh
# Triton's own Python client, unmodified, against the binary: HTTP and gRPC, sync and asyncio, binary and JSON, pictures and
# tensors, classes, statistics, streams, compression. Needs the network once, and Python 3.10 or newer.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/triton"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
PYTHONPATH="$here/.." exec "$venv/bin/python" "$here/client.py" "$binary"
