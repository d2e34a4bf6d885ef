#!/bin/sh
# Real stores of models: SeaweedFS (S3), fake-gcs-server (Google), Azurite (Azure; where npm is there), each killed and brought back while four
# connections ask, with what is new pushed meanwhile. Needs the network once, and Python 3.10 or newer.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/stores"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
if command -v npm >/dev/null && ! [ -x "$venv/node_modules/.bin/azurite-blob" ]; then
    npm install --silent --no-fund --no-audit --prefix "$venv" azurite@3.35.0
fi
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
exec "$venv/bin/python" "$here/client.py" "$binary" "$venv" "$@"
