#!/bin/sh
# TLS as testssl.sh looks at it, on the three addresses of the binary: versions, cipher suites, ALPN, clients' certificates; and certificates
# that change under load. Needs Python 3, openssl 3 and nothing else.
# ARGS: --seconds N (of the load).
set -eu
here=$(dirname "$0")
root="$here/../../.."
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
exec python3 "$here/check.py" "$(realpath "$binary")" "$@"
