#!/bin/sh
# The API description against the binary: schemathesis asks every route what the description allows and what it does not; then clients that
# openapi-generator and buf make of it classify a picture. Needs the network once, Python 3.11 or newer, and Java 11, Node.js 20 and npm for
# the clients.
#
# --quick: schemathesis alone, and of it what is the same every time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root="$here/../../.."
venv=${VENV:-"$root/target/interop/openapi"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --require-hashes --requirement "$here/requirements.txt"
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
binary=$(realpath "$binary")
export PYTHONPATH="$here/.."
"$venv/bin/python" "$here/fuzz.py" "$binary" "$@"
[ "${1:-}" = --quick ] || "$here/clients.sh" "$binary" "$venv"
